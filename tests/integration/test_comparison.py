"""Two releases of a made-up show: each kind of difference is told as what it is, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql

from include.comparison import (
    ReleaseComparison,
    TableComparison,
    as_markdown,
    choose_releases,
    compare_releases,
)
from include.comparison.names import Names
from include.warehouse.connection import ConnectionSettings
from include.warehouse.definitions import Definition, record_definitions
from include.warehouse.releases import ReleaseError, fail_release
from include.warehouse.retention import Retention, prune_releases
from include.warehouse.schemas import LOADER, READER, TRANSFORMER
from tests.integration.small_releases import start

pytestmark = pytest.mark.integration

# US01 is over; US02 is not.
CASTAWAYS = """
    ('US01', 'US0001', 'Ann', 1, 'Reno', true, 0.25),
    ('US01', 'US0002', 'Bob', 2, 'Rome', false, 0.5),
    ('US01', 'US0003', 'Cid', 3, null, false, 0.75),
    ('US02', 'US0004', 'Dot', null, 'Oslo', null, null),
    ('US02', 'US0002', 'Bobby', null, 'Rome', null, null)
"""
VOTES = """
    ('US01', 1, 1, 'US0001', 'Cid', 1),
    ('US01', 1, 1, 'US0002', 'Cid', 1),
    ('US01', 1, 1, 'US0002', 'Cid', 1),
    ('US02', 1, 1, 'US0004', 'Bob', 1)
"""
PROFILES = """
    select
        md5(version_season || castaway_id) as castaway_profile_key,
        version_season,
        castaway_id,
        place,
        place = 1 as is_winner
    from bronze_r{release}.castaways
"""
DEFINITIONS = (
    Definition(layer="reference", table_name="upstream_repairs", fingerprint="1"),
    Definition(
        layer="silver", table_name="castaway_profile", fingerprint="1",
        reads=("bronze.castaways", "reference.upstream_repairs"),
    ),
    Definition(
        layer="gold", table_name="winners", fingerprint="1", reads=("silver.castaway_profile",)
    ),
)  # fmt: skip

Make = Callable[..., int]


@pytest.fixture
def make(warehouse: ConnectionSettings, owner: psycopg.Connection) -> Make:
    """Makes a release of the show, altered by statements that find its tables by their names."""

    def make(
        *bronze: str,
        silver: str = PROFILES,
        definitions: Iterable[Definition] = DEFINITIONS,
        code: str = "code",
        repairs: str = "",
        files: Mapping[str, str] | None = None,
        target: Any = "gold",
    ) -> int:
        release = start(owner, target)
        owner.execute(
            "update ops.releases set code_fingerprint = %s where release_id = %s", (code, release)
        )
        with warehouse.connect(role=LOADER) as loader:
            loader.execute(f"set local search_path = bronze_r{release}")  # type: ignore[arg-type]
            loader.execute(
                f"""
                create table castaways (
                    version_season text, castaway_id text, castaway text, place integer,
                    city text, winner boolean, score double precision,
                    _row_number integer generated always as identity,
                    _release_id integer default {release}
                );
                insert into castaways values {CASTAWAYS};
                create table vote_history (
                    version_season text, "order" integer, vote_order integer, castaway_id text,
                    vote text, episode integer,
                    _row_number integer generated always as identity,
                    _release_id integer default {release}
                );
                insert into vote_history values {VOTES};
                create table castaway_details (
                    castaway_id text, full_name text, date_of_birth date
                );
                insert into castaway_details
                select 'US000' || n, 'Person ' || n, date '1980-01-01' + n
                from generate_series(1, 4) as n
                """  # type: ignore[arg-type]
            )
            for statement in bronze:
                loader.execute(statement)  # type: ignore[arg-type]
            for dataset, digest in (files or {}).items():
                loader.execute(
                    "insert into ops.dataset_versions (release_id, dataset, source_kind, "
                    "source_version, file_name, sha256, size_bytes, rows, columns, r_types) "
                    "values (%s, %s, 'directory', 'v', 'f', %s, 1, 5, 1, "
                    """'{"place": "double", "city": "character"}')""",
                    (release, dataset, digest),
                )
        with warehouse.connect(role=TRANSFORMER) as transformer:
            transformer.execute(
                f"""
                create table reference_r{release}.upstream_repairs (
                    dataset text, row_key text, column_name text, upstream_value text,
                    our_value text, applied_by text, reason text
                );
                """  # type: ignore[arg-type]
            )
            if repairs:
                transformer.execute(
                    f"insert into reference_r{release}.upstream_repairs values {repairs}"  # type: ignore[arg-type]
                )
            if target != "bronze":
                transformer.execute(
                    f"""
                    create table silver_r{release}.castaway_profile as
                    {silver.format(release=release)};
                    alter table silver_r{release}.castaway_profile
                    add primary key (version_season, castaway_id)
                    """  # type: ignore[arg-type]
                )
            if target == "gold":
                transformer.execute(
                    f"create view gold_r{release}.winners as select * from "  # type: ignore[arg-type]
                    f"silver_r{release}.castaway_profile where is_winner"
                )
        record_definitions(owner, release, tuple(definitions))
        owner.commit()
        return release

    return make


@pytest.fixture
def compare(owner: psycopg.Connection) -> Callable[..., ReleaseComparison]:
    def compare(older: int, newer: int, **options: Any) -> ReleaseComparison:
        return compare_releases(owner, older, newer, **options)

    return compare


def table(comparison: ReleaseComparison, name: str) -> TableComparison:
    return next(one for one in comparison.tables if f"{one.layer}.{one.table}" == name)


def cells(one: TableComparison) -> list[tuple[str, str, str | None, str | None, int]]:
    return [
        (column.column, change.label, change.before, change.after, change.cells)
        for column in one.columns
        for change in column.examples
    ]


def redefined(*names: str) -> list[Definition]:
    return [
        one.model_copy(update={"fingerprint": "2"}) if one.name in names else one
        for one in DEFINITIONS
    ]


def test_the_same_data_do_not_differ_in_another_order_or_added_up_otherwise(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """Sums of doubles differ in the last digit from run to run: that alone was half of a diff."""
    older = make()
    newer = make(
        "create temp table kept as select * from castaways",
        "delete from castaways",
        "insert into castaways select version_season, castaway_id, castaway, place, city, winner, "
        "score * (1 + 1e-14) from kept order by castaway_id desc",
    )
    comparison = compare(older, newer)
    assert comparison.is_equal, [one for one in comparison.tables if not one.is_equal]
    assert "Nothing differs." in as_markdown(comparison)


def test_every_kind_of_change_is_told_by_key(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    older = make("alter table castaways add column odd text default 'x'")
    newer = make(
        "update castaways set place = 3 where castaway = 'Bob'",
        "update castaways set place = 2, city = 'Bonn' where castaway = 'Cid'",
        "update castaways set city = null where castaway = 'Ann'",
        "alter table castaways alter column score type text",
        "alter table castaways add column age integer default 30",
        "insert into castaways values ('US01', 'US0004', 'Dot', 4, 'Oslo', false, 1)",
        "delete from castaway_details where castaway_id = 'US0003'",
    )
    comparison = compare(older, newer)
    castaways = table(comparison, "bronze.castaways")
    assert castaways.key == ["version_season", "castaway_id"]
    assert (castaways.rows_before, castaways.rows_after) == (5, 6)
    assert (castaways.rows_added, castaways.rows_removed, castaways.rows_changed) == (1, 0, 3)
    assert cells(castaways) == [
        ("place", "Bob", "2", "3", 1),
        ("place", "Cid", "3", "2", 1),
        ("city", "Ann", "Reno", None, 1),
        ("city", "Cid", None, "Bonn", 1),
    ]
    city = castaways.columns[1]
    assert (city.cells, city.filled, city.emptied, city.seasons) == (2, 1, 1, {"US01": 2})
    assert castaways.added.seasons == {"US01": 1}
    assert castaways.added.examples[0].key == {"version_season": "US01", "castaway_id": "US0004"}
    assert castaways.columns_added == {"age": "integer"}
    assert castaways.columns_removed == {"odd": "text"}
    assert [one.model_dump() for one in castaways.columns_retyped] == [
        {"column": "score", "before": "double precision", "after": "text"}
    ]
    assert castaways.cause == "upstream"
    details = table(comparison, "bronze.castaway_details")
    assert [row.label for row in details.removed.examples] == ["Person 3"]
    assert table(comparison, "bronze.vote_history").is_equal

    document = as_markdown(comparison)
    assert "- Bob: placed 3rd, not 2nd (`castaways`)" in document
    assert "- Cid: placed 2nd, not 3rd; now given: `city` Bonn (`castaways`)" in document
    assert "`bronze.castaways`: `score` is text, was double precision." in document
    assert "US0003" not in document


def test_views_have_the_key_of_the_table_that_they_show_and_no_hash_is_shown(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    comparison = compare(
        make(),
        make("update castaways set place = 4 - place where version_season = 'US01'"),
    )
    for name in ("silver.castaway_profile", "gold.winners"):
        one = table(comparison, name)
        assert one.key == ["version_season", "castaway_id"]
        assert "castaway_profile_key" not in {column.column for column in one.columns}
    winners = table(comparison, "gold.winners")
    assert [row.label for row in winners.added.examples] == ["Cid"]
    assert [row.label for row in winners.removed.examples] == ["Ann"]


def test_rows_without_a_key_are_counted_and_matched_by_what_they_nearly_have(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """vote_history publishes some rows twice; a join by its columns would multiply them."""
    older = make()
    once = make(
        "delete from vote_history where ctid = "
        "(select max(ctid) from vote_history where castaway_id = 'US0002')"
    )
    votes = table(compare(older, once), "bronze.vote_history")
    assert (votes.rows_added, votes.rows_removed, votes.rows_changed) == (0, 1, 0)
    other = make(
        "update vote_history set vote = 'Ann' where ctid = "
        "(select max(ctid) from vote_history where castaway_id = 'US0002')"
    )
    votes = table(compare(older, other), "bronze.vote_history")
    assert (votes.rows_added, votes.rows_removed, votes.rows_changed) == (0, 0, 1)
    assert cells(votes) == [("vote", "Bob, exit 1", "Cid", "Ann", 1)]
    neither = make("delete from vote_history where castaway_id = 'US0002'")
    assert table(compare(older, neither), "bronze.vote_history").rows_removed == 2
    back = table(compare(once, older), "bronze.vote_history")
    assert (back.rows_added, back.rows_removed, back.rows_changed) == (1, 0, 0)


def test_a_key_that_repeats_after_all_multiplies_nothing(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """The release that failed its checks for it is the one that people want to compare."""
    twice = make("insert into castaways select * from castaways where castaway = 'Ann'"
                 .replace("select *", "select version_season, castaway_id, castaway, place, city, "
                                      "winner, score"),
                 silver=PROFILES.replace("select\n", "select distinct\n"))  # fmt: skip
    castaways = table(compare(make(), twice), "bronze.castaways")
    assert (castaways.rows_added, castaways.rows_removed, castaways.rows_changed) == (1, 0, 0)


def test_a_season_that_went_on_and_a_new_one_are_no_errata(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """The newest episode filled hundreds of cells, among which three corrections were lost."""
    newer = make(
        "update castaways set place = 2, winner = false where castaway = 'Bobby'",
        "update castaways set place = 1, winner = true where castaway = 'Dot'",
        "insert into castaways values ('US03', 'US0003', 'Cid', null, null, null, null)",
        "insert into vote_history values ('US02', 2, 1, 'US0004', 'Bob', 2)",
        "update castaways set city = 'Riga' where castaway = 'Bob'",
    )
    comparison = compare(make(), newer)
    assert [(one.season, one.status, one.winner) for one in comparison.seasons] == [
        ("US02", "went_on", "Dot"),
        ("US03", "new", None),
    ]
    document = as_markdown(comparison)
    assert "**US02** went on from episode 1 to 2; Dot won. 1 new row, 4 cells filled in" in document
    errata = document.partition("## Errata")[2].partition("\n## ")[0]
    assert [line for line in errata.splitlines() if line] == [
        "### US01",
        "- Bob: is from Riga, not Rome (`castaways`)",
    ]


def test_a_season_under_another_name_keeps_its_rows(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """Every row of it would be told twice: gone, and new."""
    newer = make(
        "update castaways set version_season = 'US001' where version_season = 'US01'",
        "update vote_history set version_season = 'US001' where version_season = 'US01'",
        "update castaways set city = 'Riga' where castaway = 'Bob'",
    )
    comparison = compare(make(), newer)
    assert cells(table(comparison, "bronze.castaways")) == [("city", "Bob", "Rome", "Riga", 1)]
    assert table(comparison, "bronze.vote_history").is_equal
    assert "**US001** was called US01." in as_markdown(comparison)


def test_a_column_that_the_old_files_lacked_came_and_was_not_filled_in(
    make: Make, owner: psycopg.Connection, compare: Callable[..., ReleaseComparison]
) -> None:
    """Bronze has every column of the catalogue: 168,000 cells looked filled in by upstream."""
    older = make("update castaways set score = null")
    owner.execute(
        "insert into ops.schema_drift (release_id, dataset, column_name, kind, severity, detail) "
        "values (%s, 'castaways', 'score', 'missing_column', 'recorded', 'x')",
        (older,),
    )
    owner.commit()
    castaways = table(compare(older, make()), "bronze.castaways")
    assert castaways.columns == []
    assert castaways.columns_added == {"score": "double precision"}


def test_a_table_on_one_side_only_is_told_as_such(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    comparison = compare(
        make(), make("create table episodes (version_season text)", "drop table castaway_details")
    )
    assert table(comparison, "bronze.episodes").rows_before is None
    assert table(comparison, "bronze.castaway_details").rows_after is None
    document = as_markdown(comparison)
    assert "`bronze.episodes` is new: 0 rows." in document
    assert "`bronze.castaway_details` is gone: 4 rows." in document


CORRECTED = "update castaways set place = 4 - place where version_season = 'US01'"
OTHERWISE = PROFILES.replace("place,", "place * 10 as place,")


def test_what_upstream_changed_is_upstreams_down_to_gold(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    comparison = compare(make(code="1"), make(CORRECTED, code="2"))
    assert table(comparison, "silver.castaway_profile").cause == "upstream"
    assert table(comparison, "gold.winners").cause == "upstream"


def test_what_we_define_otherwise_is_ours_down_to_gold(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """A changed parent changes its child, whose own definition is the same."""
    newer = make(silver=OTHERWISE, definitions=redefined("silver.castaway_profile"), code="2")
    comparison = compare(make(code="1"), newer)
    for name in ("silver.castaway_profile", "gold.winners"):
        assert table(comparison, name).cause == "definition"
        assert table(comparison, name).definitions_changed == ["silver.castaway_profile"]
    assert "`gold.winners`, by `silver.castaway_profile`" in as_markdown(comparison)


def test_where_both_changed_untouched_seasons_are_ours(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    fill = "update castaways set place = 7 where version_season = 'US02'"
    newer = make(
        fill, CORRECTED,
        silver=OTHERWISE, definitions=redefined("silver.castaway_profile"), code="2",
    )  # fmt: skip
    profile = table(compare(make(fill, code="1"), newer), "silver.castaway_profile")
    assert profile.cause == "both"
    assert profile.causes_by_season == {"US01": "both", "US02": "definition"}
    causes = {change.season: change.cause for change in profile.columns[0].examples}
    assert causes == {"US01": "both", "US02": "definition"}


def test_a_change_of_a_person_reaches_the_seasons_of_that_person_only(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    fill = "update castaways set place = 7 where version_season = 'US02'"
    reads_people = [
        one.model_copy(update={"reads": (*one.reads, "bronze.castaway_details")})
        for one in redefined("silver.castaway_profile")
    ]
    newer = make(
        fill, "update castaway_details set full_name = 'Anna' where castaway_id = 'US0001'",
        silver=OTHERWISE, definitions=reads_people, code="2",
    )  # fmt: skip
    profile = table(compare(make(fill, code="1"), newer), "silver.castaway_profile")
    assert profile.causes_by_season == {"US01": "both", "US02": "definition"}


def test_without_a_record_of_the_definitions_the_cause_is_not_known_and_that_is_said(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    older, newer = make(definitions=(), code="1"), make(CORRECTED, code="2")
    comparison = compare(older, newer)
    assert table(comparison, "silver.castaway_profile").cause is None
    assert any(f"By which definitions release {older} was built" in one for one in comparison.notes)
    assert "| not known |" in as_markdown(comparison)
    # The same code is the same definitions, whoever wrote them down.
    same_code = compare(older, make(CORRECTED, definitions=(), code="1"))
    assert table(same_code, "silver.castaway_profile").cause == "upstream"
    assert same_code.notes == []
    # The same data leave only one.
    same_data = compare(older, make(silver=OTHERWISE, definitions=(), code="2"))
    assert table(same_data, "silver.castaway_profile").cause == "definition"


def test_the_same_file_read_otherwise_is_ours(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """A mended reader changes bronze too, and upstream must not be blamed for it."""
    older = make(files={"castaways": "abc"})
    for digest, cause in (("abc", "definition"), ("def", "upstream")):
        comparison = compare(older, make(CORRECTED, files={"castaways": digest}))
        assert table(comparison, "bronze.castaways").cause == cause
        assert table(comparison, "silver.castaway_profile").cause == cause


REPAIR = "('{}', 'US01|US0002', 'place', '2', '20', 'castaway_profile', 'he came later')"


def test_a_repair_is_named_and_is_ours_where_it_is_applied(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    older = make(code="1")
    seed = redefined("reference.upstream_repairs")
    applied = compare(
        older,
        make(silver=OTHERWISE, repairs=REPAIR.format("castaways"), definitions=seed,
             code="2"),
    )  # fmt: skip
    assert [(one.seed, one.added, one.removed, one.changed) for one in applied.seeds] == [
        ("upstream_repairs", 1, 0, 0)
    ]
    assert table(applied, "silver.castaway_profile").definitions_changed == [
        "reference.upstream_repairs"
    ]
    assert "new: castaways, US01\\|US0002, place: 20 instead of 2: he came later" in as_markdown(
        applied
    )
    # The seed is one file; a repair of another model in it says nothing of this one.
    another = compare(
        older, make(CORRECTED, repairs=REPAIR.format("vote_history"), definitions=seed, code="2")
    )
    assert table(another, "silver.castaway_profile").cause == "upstream"


def test_a_correction_that_we_had_made_before_is_told_as_one(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """Silver shows no change then, which looks like a mistake of ours beside the erratum."""
    repairs = REPAIR.format("castaways")
    newer = make(
        "update castaways set place = 20 where place = 2",
        "update castaways set place = 30 where place = 3",
        repairs=repairs,
    )
    document = as_markdown(compare(make(repairs=repairs), newer))
    assert "- Bob: placed 20th, not 2nd, as we had repaired it (`castaways`)" in document
    assert "- Cid: placed 30th, not 3rd (`castaways`)" in document


def test_of_a_release_whose_tables_are_gone_the_files_are_compared(
    make: Make, owner: psycopg.Connection, compare: Callable[..., ReleaseComparison]
) -> None:
    older = make(files={"castaways": "abc", "episodes": "same"})
    fail_release(owner, older, "a test")
    newer = make(files={"castaways": "def", "episodes": "same"})
    fail_release(owner, newer, "a test")
    assert prune_releases(owner, Retention(kept=1)) == [older]
    comparison = compare(older, newer)
    castaways, episodes = comparison.tables
    assert (castaways.rows_before, castaways.rows_after, castaways.cause) == (5, 5, "upstream")
    assert castaways.note == "Another file: which cells differ is not known."
    assert episodes.note == "The same file."
    document = as_markdown(comparison)
    assert f"The tables of release {older} were dropped on" in document
    assert "Nothing differs" not in document


def test_what_cannot_be_compared_is_said(
    make: Make, owner: psycopg.Connection, compare: Callable[..., ReleaseComparison]
) -> None:
    whole = make()
    bronze_only = compare(make(target="bronze"), whole)
    assert {one.layer for one in bronze_only.tables} == {"bronze"}
    assert "was built up to bronze only: silver and gold cannot be compared." in as_markdown(
        bronze_only
    )
    with_itself = compare(whole, whole)
    assert with_itself.is_equal and with_itself.tables == []
    assert "is compared with itself" in as_markdown(with_itself)
    with pytest.raises(ReleaseError, match="There is no release 99"):
        compare(whole, 99)
    with pytest.raises(ReleaseError, match="Nothing is published yet"):
        choose_releases(owner)
    empty = start(owner)
    fail_release(owner, empty, "load_bronze: no network")
    nothing = compare(whole, empty)
    assert nothing.seasons == []
    assert (
        f"Release {empty} (failed) has no tables in bronze, silver, gold: load_bronze: no network."
        in as_markdown(nothing)
    )


def test_thousands_of_cells_of_one_column_are_one_line_and_few_bytes(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    """A recomputed score once filled 40 pages, and the corrections between them were not read."""
    many = (
        "insert into castaways select 'US' || 10 + n % 30, 'US' || 1000 + n, 'Castaway ' || n, "
        "1 + n / 30, 'Rome', n < 30, n from generate_series(0, 2999) as n"
    )
    recomputed = "update castaways set score = score * 2 + 1 where version_season > 'US09'"
    corrected = "update castaways set city = 'Roma' where castaway = 'Castaway 7'"
    # One cell in each of twelve seasons.
    ranked = "update castaways set place = 99 where castaway_id between 'US1000' and 'US1011'"
    comparison = compare(make(many), make(many, recomputed, corrected, ranked))
    castaways = table(comparison, "bronze.castaways")
    score = next(one for one in castaways.columns if one.column == "score")
    assert (score.cells, score.systematic, len(score.seasons)) == (3000, True, 30)
    assert len({change.season for change in score.examples}) == len(score.examples) == 10
    assert len(comparison.model_dump_json()) < 40_000
    document = as_markdown(comparison)
    assert "`castaways`: 3,012 cells in 30 seasons: `score` (3,000), `place` (12)." in document
    assert "- Castaway 7: is from Roma, not Rome (`castaways`)" in document
    assert len(document.splitlines()) < 45


def test_text_of_upstream_is_no_markdown(
    make: Make, compare: Callable[..., ReleaseComparison]
) -> None:
    newer = make("update castaways set city = '<b>*| `x`' where castaway = 'Bob'")
    assert r"is from \<b\>\*\| \`x\`, not Rome" in as_markdown(compare(make(), newer))


def test_a_comparison_survives_json(make: Make, compare: Callable[..., ReleaseComparison]) -> None:
    comparison = compare(make(), make(CORRECTED))
    assert ReleaseComparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_a_comparison_reads_one_state_writes_nothing_and_leaves_no_transaction_open(
    make: Make,
    owner: psycopg.Connection,
    compare: Callable[..., ReleaseComparison],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: dict[str, Any] = {}
    read_names = Names.of

    def look(connection: psycopg.Connection, *relations: Any) -> Names:
        for setting in ("transaction_read_only", "transaction_isolation"):
            found[setting] = connection.execute(f"show {setting}").fetchone()  # type: ignore[arg-type]
        return read_names(connection, *relations)

    monkeypatch.setattr(Names, "of", look)
    compare(make(), make(CORRECTED))
    assert found == {
        "transaction_read_only": ("on",),
        "transaction_isolation": ("repeatable read",),
    }
    assert owner.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert owner.execute("show transaction_read_only").fetchone() == ("off",)


def test_a_release_is_not_dropped_while_it_is_compared(
    make: Make,
    owner: psycopg.Connection,
    warehouse: ConnectionSettings,
    compare: Callable[..., ReleaseComparison],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The night's run drops old releases while somebody looks at the compare page."""
    releases = [make(), make(CORRECTED)]
    for release in releases:
        fail_release(owner, release, "a test")
    dropped: list[int] = []
    read_names = Names.of

    def read_slowly(*arguments: Any) -> Names:
        with warehouse.connect(role="gamebot_owner") as another:
            dropped.extend(prune_releases(another, Retention(kept=1)))
        return read_names(*arguments)

    monkeypatch.setattr(Names, "of", read_slowly)
    assert not compare(*releases).is_equal
    assert dropped == []


def test_a_reader_of_the_public_schemas_cannot_compare_releases(
    make: Make, warehouse_admin: ConnectionSettings
) -> None:
    releases = [make(), make(CORRECTED)]
    with (
        warehouse_admin.connect(role=READER) as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        compare_releases(reader, *releases)


def test_readers_what_they_see_now_is_compared_with_what_they_saw_before(
    make: Make, owner: psycopg.Connection
) -> None:
    releases = [make() for _ in range(3)]
    for release in releases:
        owner.execute(
            "update ops.releases set published_at = clock_timestamp() where release_id = %s",
            (release,),
        )
    owner.execute(
        sql.SQL("insert into ops.published_layers values ('bronze', {}, now())").format(releases[1])
    )
    owner.commit()
    assert choose_releases(owner) == (releases[0], releases[1])
    assert choose_releases(owner, None, releases[2]) == (releases[1], releases[2])
    assert choose_releases(owner, releases[2]) == (releases[2], releases[1])
    with pytest.raises(ReleaseError, match="Readers saw no release before"):
        choose_releases(owner, None, releases[0])
