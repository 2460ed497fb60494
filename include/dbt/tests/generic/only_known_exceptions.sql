{#
    No row breaks the rule but those that the seed known_exceptions lists, each with its reason.

    rule   value of rule_exceptions.rule
#}
{% test only_known_exceptions(model, rule) %}

select *
from {{ model }}
where rule = '{{ rule }}' and is_broken and known_reason is null

{% endtest %}
