-- Three invented seasons, of silver and bronze only what the page of a season reads: US01 is over and
-- odd in every way that real ones are, US02 runs, and of US03 only the cast is known.

create table silver_r1.season_context (
    version_season text, version text, season_number integer, season_name text, season_status text,
    location text, country text, tribe_setup text, cast_size integer, total_cast integer,
    finalist_count integer, jury_count integer, winner text, runner_ups text, final_vote text,
    premiered date, ended date, last_episode_with_data integer, merge_episode integer,
    viewers_mean double precision
);
insert into silver_r1.season_context values
('US01', 'US', 1, 'Survivor: <b>Bold</b>', 'complete', 'An Island', 'Nowhere', 'Two tribes', 5, 5, 2, 3,
 'Ann', 'Ben', '2-1', null, null, 3, 3, null),
('US02', 'US', 2, null, 'in_progress', null, null, null, 2, 2, null, 0, null, null, null,
 '2026-01-01', null, 1, null, 5000000),
('US03', 'US', 3, 'Announced', 'scheduled', null, null, null, 1, 1, null, 0, null, null, null, null, null,
 null, null, null);

create table silver_r1.castaway_profile (
    version_season text, castaway_id text, castaway text, full_name text, age integer, occupation text,
    original_tribe text, place integer, result text, is_juror boolean, is_finalist boolean,
    is_winner boolean
);
insert into silver_r1.castaway_profile values
('US01', 'a', 'Ann', 'Ann A', 30, null, 'Red', 1, 'Sole Survivor', false, true, true),
('US01', 'b', 'Ben', 'Ben B', 31, null, 'Red', 2, 'Runner-up', false, true, false),
('US01', 'c', 'Cat', 'Cat C', 32, null, 'Blue', 3, '3rd voted out', true, false, false),
('US01', 'd', 'Dan', 'Dan D', 33, null, 'Blue', 4, '2nd voted out', true, false, false),
('US01', 'e', '<i>Eve</i>', 'Eve E', 34, null, 'Blue', 5, '1st voted out', true, false, false),
('US02', 'f', 'Fay', null, null, null, 'Red', null, null, null, null, null),
('US02', 'g', 'Gus', null, null, null, 'Red', 2, '1st voted out', null, null, null),
('US03', 'h', 'Hal', null, null, null, null, null, null, null, null, null);

create table silver_r1.social_positioning (
    version_season text, castaway_id text, sog_id integer, episode integer, tribe text,
    tribe_status text, merge_phase text, game_status text, is_in_game boolean
);
insert into silver_r1.social_positioning
select 'US01', castaway, stage, episode, tribe, status, phase, 'In the game', true
from (
    values
    (1, 1, 'Red', 'Original', 'pre_merge', array['a', 'b']),
    (1, 1, 'Blue', 'Original', 'pre_merge', array['c', 'd', 'e']),
    (2, 2, 'Red', 'Original', 'pre_merge', array['a', 'b']),
    (2, 2, 'Blue', 'Original', 'pre_merge', array['c', 'd']),
    (3, 3, 'Gold', 'Merged', 'post_merge', array['a', 'b', 'c', 'e'])
) as stages (stage, episode, tribe, status, phase, castaways)
cross join unnest(castaways) as castaway;
-- Eve waits on an island between her exit and her return.
insert into silver_r1.social_positioning values
('US01', 'e', 2, 2, 'None', 'Exile Island', 'out_of_game', 'Exile Island', false),
('US02', 'f', 1, 1, 'Red', 'Original', 'pre_merge', 'In the game', true),
('US02', 'g', 1, 1, 'Red', 'Original', 'pre_merge', 'In the game', true),
('US02', 'f', 2, 2, 'Red', 'Original', 'pre_merge', 'In the game', true);

create table silver_r1.vote_dynamics (
    version_season text, boot_vote_number integer, vote_round integer, voter_key text,
    ballot_no integer, episode integer, day integer, sog_id integer, target_id text,
    voted_out_id text, immunity text, vote_event text, vote_event_outcome text, nullified boolean,
    has_ballot boolean, is_extra_vote boolean
);
insert into silver_r1.vote_dynamics values
-- Cat's two ballots and a penalty against Eve; Dan's idol does away with one.
('US01', 1, 1, 'c', 1, 1, 3, 1, 'e', 'e', null, null, null, false, true, false),
('US01', 1, 1, 'c', 2, 1, 3, 1, 'e', 'e', null, 'Extra vote', 'Extra vote', false, true, true),
('US01', 1, 1, 'd', 1, 1, 3, 1, 'c', 'e', 'Hidden', null, null, false, true, false),
('US01', 1, 1, 'e', 1, 1, 3, 1, 'd', 'e', null, null, null, true, true, false),
('US01', 1, 1, 'PENALTY', 1, 1, 3, 1, 'e', 'e', null, 'Black cowrie', null, false, true, false),
-- A tie, then a second round in which the tied have no ballot.
('US01', 2, 1, 'c', 1, 2, 6, 2, 'd', 'd', null, null, null, false, true, false),
('US01', 2, 1, 'd', 1, 2, 6, 2, 'c', 'd', null, null, null, false, true, false),
('US01', 2, 2, 'c', 1, 2, 6, 2, null, 'd', null, 'Deadlock', 'Can''t vote', false, false, false),
-- Two boots at one council, both filed under the same stage.
('US01', 3, 1, 'a', 1, 3, 9, 3, 'c', 'c', 'Individual', null, null, false, true, false),
('US01', 3, 1, 'b', 1, 3, 9, 3, 'c', 'c', null, null, null, false, true, false),
('US01', 4, 1, 'a', 1, 3, 9, 3, 'e', 'e', null, null, null, false, true, false);

create table silver_r1.edit_features (
    version_season text, castaway_id text, episode integer, confessional_count integer,
    confessional_time double precision
);
insert into silver_r1.edit_features values
('US01', 'a', 1, 4, null), ('US01', 'b', 1, 0, null), ('US01', 'a', 2, 3, null),
('US01', 'captain', 1, 7, null);

create table silver_r1.challenge_performance (
    version_season text, castaway_id text, challenge_format text, sit_out boolean, won_flag integer,
    won_individual_immunity integer, won_individual_reward integer, won_tribal_immunity integer,
    won_tribal_reward integer, won_team_immunity integer, won_team_reward integer, won_duel integer
);
insert into silver_r1.challenge_performance values
('US01', 'a', 'individual', null, 1, 1, 0, 0, 0, 0, 0, 0),
('US01', 'a', 'tribal', true, 0, 0, 0, 1, 0, 0, 0, 0),
('US01', 'b', 'tribal', false, 1, 0, 0, 1, 0, 0, 0, 0),
('US01', 'c', 'team', null, null, null, null, null, null, null, null, null);

create table silver_r1.advantage_strategy (
    version_season text, castaway_id text, advantage_id integer, sequence_id integer,
    advantage_type text, event_category text, sog_id integer, episode integer,
    target_castaway_ids text, success_outcome text, votes_nullified integer
);
insert into silver_r1.advantage_strategy values
('US01', 'd', 1, 2, 'Hidden Immunity Idol', 'played', 1, 1, 'd', 'yes', 1),
('US01', 'd', 1, 1, 'Hidden Immunity Idol', 'obtained_found', 1, 1, null, null, null);

create table silver_r1.jury_analysis (
    version_season text, juror_name text, juror_type text, finalist_id text, vote integer
);
insert into silver_r1.jury_analysis values
('US01', 'Cat', 'castaway', 'a', 1), ('US01', 'Cat', 'castaway', 'b', 0),
('US01', 'Dan', 'castaway', 'a', 1), ('US01', 'Public', 'public', 'b', 1);

create table bronze_r1.boot_order (
    version_season text, "order" integer, castaway_id text, castaway text, episode integer,
    day integer, result text
);
insert into bronze_r1.boot_order values
('US01', 1, 'e', '<i>Eve</i>', 1, 3, '1st voted out'),
('US01', 2, 'd', 'Dan', 2, 6, '2nd voted out'),
('US01', 3, 'c', 'Cat', 3, 9, '3rd voted out'),
('US01', 4, 'e', '<i>Eve</i>', 3, 9, '4th voted out'),
('US01', 5, 'b', 'Ben', 3, 10, 'Runner-up'),
('US01', 6, 'a', 'Ann', 3, 10, 'Sole Survivor'),
('US02', 1, 'g', 'Gus', 1, null, '1st voted out');

create table bronze_r1.castaway_details (castaway_id text, castaway text);
insert into bronze_r1.castaway_details values ('captain', 'Cap');

create table bronze_r1.tribe_colours (
    version_season text, tribe text, tribe_status text, tribe_colour text
);
insert into bronze_r1.tribe_colours values
('US01', 'Red', 'Original', '#AA0000'), ('US01', 'Gold', 'Merged', '#ffdf48');
