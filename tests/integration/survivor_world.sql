-- A made-up show in which everything goes by the book: 60 American and 20 Australian seasons of 16
-- castaways. Castaway n leaves 17 - n th, castaway 1 wins; every second season one person returns. Until
-- the merge nothing else depends on n alone, so nothing gives the winner away.

create temporary table season on commit drop as
select version, season, version || lpad(season::text, 2, '0') as version_season,
  current_date - 100 - (seasons - season) * 120 as premiered
from (values ('US', 60), ('AU', 20)) as show (version, seasons)
cross join generate_series(1, seasons) as season;

create temporary table player on commit drop as
select version, season, version_season, premiered, n,
  case when n = 16 and season % 2 = 0
    then version || lpad(((season - 2) * 16 + 2)::text, 4, '0')
    else version || lpad(((season - 1) * 16 + n)::text, 4, '0')
  end as castaway_id,
  'C' || n as castaway,
  'Full C' || case when n = 16 and season % 2 = 0 then 2 else n end as full_name,
  17 - n as boot_number
from season cross join generate_series(1, 16) as n;

-- Who is in the game at which stage: 13 boot votes, and the finale, in which the jury takes one after the other out.
create temporary table stage on commit drop as
select player.*, sog_id, least(sog_id, 13) as episode,
  case when sog_id > 6 then 'Merged' when n % 2 = 0 then 'Even' else 'Odd' end as tribe,
  case when sog_id > 6 then 'Merged' when sog_id > 4 then 'Swapped' else 'Original' end as tribe_status,
  17 - sog_id as leaves
from player cross join generate_series(1, 16) as sog_id
where n <= 17 - sog_id;

insert into season_summary (
  version, version_season, season_name, season, location, country, tribe_setup, n_cast, n_tribes,
  n_finalists, n_jury, full_name, winner_id, winner, runner_ups, final_vote, timeslot, premiered,
  ended, filming_started, filming_ended, viewers_premiere, viewers_finale, viewers_mean, rank
)
select season.version, season.version_season, 'Season ' || season.version_season, season.season,
  'Island', 'Country', 'Two tribes', 16, 2, 3, 7, 'Full C1', castaway_id, 'C1', 'C2 and C3', '5-1-1',
  'Evening', season.premiered, season.premiered + 90, season.premiered - 200, season.premiered - 160,
  1e7, 12000000, 1.1e7, season.season
from season
join player using (version_season)
where n = 1;

insert into castaway_details (
  castaway_id, full_name, castaway, date_of_birth, gender, african, asian, latin_american,
  native_american, bipoc, lgbt, personality_type, occupation, collar, race, ethnicity
)
select distinct on (castaway_id) castaway_id, 'Full ' || castaway, castaway,
  cast(premiered - make_interval(years => 20 + (7 * n + season) % 30, days => 100) as date), case when kind % 2 = 0 then 'Female' else 'Male' end,
  bipoc and kind % 6 = 0, bipoc and kind % 6 = 3, false, false, bipoc, kind % 8 = 1, 'ENFJ', 'Teacher',
  'White collar', null, null
from (
  select player.*, n + season as kind, case when version = 'US' then (n + season) % 3 = 0 end as bipoc
  from player
) as people
order by castaway_id, season;

insert into castaways (
  version, version_season, season, full_name, castaway_id, castaway, age, city, state, episode, day,
  "order", result, jury_status, place, original_tribe, jury, finalist, winner, ack_score
)
select version, version_season, season, player.full_name, castaway_id, player.castaway,
  extract(year from age(premiered, date_of_birth)), 'City', 'State', least(boot_number, 13), 3 * least(boot_number, 13), boot_number,
  case n when 1 then 'Sole Survivor' when 2 then 'Runner-up' when 3 then '2nd runner-up'
    else boot_number || 'th voted out' end,
  case when n between 4 and 10 then boot_number - 6 || 'th jury member' end, n,
  case when n % 2 = 0 then 'Even' else 'Odd' end, n between 4 and 10, n <= 3, n = 1, 1
from player
join castaway_details using (castaway_id);

insert into boot_order (version, version_season, season, castaway_id, castaway, episode, day, "order", result)
select version, version_season, season, castaway_id, castaway, episode, day, "order", result
from castaways;

insert into boot_mapping (
  version, version_season, season, episode, "order", n_boots, final_n, sog_id, castaway_id, castaway,
  tribe, tribe_status, game_status
)
select version, version_season, season, episode, sog_id - 1, sog_id - 1, 17 - sog_id, sog_id, castaway_id,
  castaway, tribe, tribe_status, 'In the game'
from stage;

insert into tribe_mapping (
  version, version_season, season, episode, day, castaway_id, castaway, tribe, tribe_status
)
select version, version_season, season, episode, 3 * episode, castaway_id, castaway, tribe, tribe_status
from stage where sog_id <= 13;

insert into tribe_colours (version, version_season, season, tribe, tribe_colour, tribe_status)
select distinct version, version_season, season, tribe, '#123456', tribe_status from stage;

-- Everybody votes for who leaves, who leaves for one of the others, and castaway 2 now and then alone. After
-- the merge castaways 2 and 3 win immunity in turn.
insert into vote_history (
  version, version_season, season, episode, day, tribe_status, tribe, castaway, immunity, vote,
  nullified, tie, voted_out, "order", vote_order, castaway_id, vote_id, voted_out_id, sog_id, challenge_id
)
select voter.version, voter.version_season, voter.season, voter.episode, 3 * voter.episode,
  voter.tribe_status, voter.tribe, voter.castaway,
  case when voter.n = 2 + voter.sog_id % 2 and voter.sog_id > 6 then 'Individual' end, target.castaway,
  false, false, victim.castaway, voter.sog_id, 1, voter.castaway_id, target.castaway_id,
  victim.castaway_id, voter.sog_id, voter.sog_id
from stage as voter
join player as victim on victim.version_season = voter.version_season and victim.n = voter.leaves
join player as target on target.version_season = voter.version_season
  and target.n = case
    when voter.n = voter.leaves and voter.sog_id > 6 then 1
    when voter.n = voter.leaves then 1 + (voter.season + voter.sog_id) % (voter.leaves - 1)
    when voter.n = 2 and voter.sog_id % 4 = 0 then 4
    else voter.leaves
  end
where voter.sog_id <= 13;

insert into challenge_description (
  version, version_season, season, episode, challenge_id, challenge_number, challenge_type, name,
  recurring_name, balance, endurance, knowledge, memory, precision, puzzle, race, strength, water
)
select version, version_season, season, id, id, id, 'Immunity', 'Challenge ' || id, 'Challenge ' || id,
  id % 2 = 0, id % 3 = 0, id % 4 = 0, id % 5 = 0, id % 2 = 1, id % 3 = 1, id % 4 = 1, id % 5 = 1, id % 2 = 0
from season cross join generate_series(1, 13) as id;

insert into challenge_results (
  version, version_season, season, episode, n_boots, castaway_id, castaway, tribe, tribe_status,
  challenge_type, outcome_type, result, chosen_for_reward, challenge_id, sit_out, order_of_finish,
  sog_id, won, won_tribal_reward, won_tribal_immunity, won_team_reward, won_team_immunity,
  won_individual_reward, won_individual_immunity, won_duel
)
select version, version_season, season, episode, sog_id - 1, castaway_id, castaway, tribe,
  tribe_status, 'Immunity', case when sog_id > 6 then 'Individual' else 'Tribal' end,
  case when won then 'Won' else 'Lost' end, false, sog_id, n = 15 and sog_id = 1,
  case when sog_id <= 6 then 2 - won::int end, sog_id,
  won::int, 0, (won and sog_id <= 6)::int, 0, 0, 0, (won and sog_id > 6)::int, 0
from (
  select stage.*, case when sog_id > 6 then n = 2 + sog_id % 2 else (n + season) % 2 = sog_id % 2 end as won
  from stage where sog_id <= 13
) as contests;

insert into challenge_summary (
  category, version, version_season, season, episode, castaway_id, castaway, tribe, challenge_type,
  outcome_type, challenge_id, sog_id, won, n_entities, n_winners
)
select category, version, version_season, season, episode, castaway_id, castaway, tribe,
  challenge_type, outcome_type, challenge_id, sog_id, won,
  case when sog_id > 6 then 17 - sog_id else 2 end, 1
from challenge_results
cross join lateral (values ('All'), (outcome_type || ' Immunity')) as categories (category);

insert into confessionals (
  version, version_season, season, episode, castaway, castaway_id, confessional_count,
  confessional_time, exp_count, exp_time
)
select version, version_season, season, episode, castaway, castaway_id, confessionals,
  case when version = 'US' then 20 * confessionals end, 2.5, 50
from (select stage.*, 1 + (n * n + season * n + sog_id) % 7 as confessionals from stage where sog_id <= 13) as edit;

insert into episodes (
  version, version_season, season, episode_number_overall, episode, episode_title, episode_label,
  episode_date, episode_length, viewers, imdb_rating, n_ratings
)
select version, version_season, season, episode, episode, 'Title',
  case episode when 13 then 'Finale' else 'Ep ' || episode end, premiered + 7 * (episode - 1),
  60, 1e7, 8.1, 100
from season cross join generate_series(1, 13) as episode;

insert into jury_votes (version, version_season, season, castaway, finalist, vote, castaway_id, finalist_id)
select juror.version, juror.version_season, juror.season, juror.castaway, finalist.castaway,
  (finalist.n = case juror.n when 9 then 2 when 10 then 3 else 1 end)::int,
  juror.castaway_id, finalist.castaway_id
from player as juror
join player as finalist on finalist.version_season = juror.version_season and finalist.n <= 3
where juror.n between 4 and 10;

-- Three castaways of each season find something, at stages 2 to 4; they play it at stage 8.
create temporary table finder on commit drop as
select stage.*, 1 + (n + season) % 9 as advantage_id
from stage
where n <= 9 and (n + season) % 9 < 3;

insert into advantage_details (
  version, version_season, season, advantage_id, advantage_type, clue_details, location_found
)
select version, version_season, season, advantage_id,
  case advantage_id when 3 then 'Extra Vote' else 'Hidden Immunity Idol' end, 'Clue', 'Tree'
from finder where sog_id = 1;

insert into advantage_movement (
  version, version_season, season, castaway, castaway_id, advantage_id, sequence_id, day, episode,
  event, played_for, played_for_id, success, votes_nullified, sog_id
)
select version, version_season, season, castaway, castaway_id, advantage_id, sequence_id, 3 * sog_id,
  sog_id, case sequence_id when 1 then 'Found' else 'Played' end,
  case sequence_id when 2 then castaway end, case sequence_id when 2 then castaway_id end,
  case sequence_id when 2 then case advantage_id when 1 then 'Yes' when 2 then 'Not needed' else 'No' end end,
  case sequence_id when 2 then 0 end, sog_id
from (
  select finder.*, case sog_id when 8 then 2 else 1 end as sequence_id
  from finder where sog_id in (advantage_id + 1, 8)
) as events;

insert into advantage_timeline (
  version, season, version_season, castaway, castaway_id, episode, advantage_id, sog_id, final_n, holding
)
select version, season, version_season, castaway, castaway_id, episode, advantage_id, sog_id, 17 - sog_id, 1
from finder where sog_id between advantage_id + 1 and 7;

insert into survivor_auction (
  version, version_season, season, episode, n_boots, castaway_id, castaway, tribe, tribe_status, total, currency
)
select version, version_season, season, episode, sog_id - 1, castaway_id, castaway, tribe, tribe_status, 500, 'Dollar'
from stage where sog_id = 5 and n <= 2;

insert into auction_details (
  version, version_season, season, item, item_description, category, castaway, castaway_id, cost,
  covered, money_remaining, auction_num
)
select version, version_season, season, n, 'Burger', 'Food and drink', castaway, castaway_id, 100, false, 400, 1
from stage where sog_id = 5 and n <= 2;

insert into journeys (
  version, season, version_season, episode, sog_id, castaway_id, castaway, reward, lost_vote, chose_to_play, event
)
select version, season, version_season, episode, sog_id, castaway_id, castaway, 'Nothing', false, true, 'Journey'
from stage where sog_id = 3 and n = 4;

insert into castaway_scores (version, version_season, season, castaway_id, castaway, score_overall)
select version, version_season, season, castaway_id, castaway, 1.0 / n from player;
