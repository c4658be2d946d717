-- The caseload page reads everybody's row to count and to find. One index holds what it needs, so that the whole standings
-- beside it, some kilobytes each, are not read. It begins as the one it replaces.
UPDATE standing SET display_name = SUBSTR(display_name, 1, 200) WHERE LENGTH(display_name) > 200;
UPDATE standing SET care_manager = SUBSTR(care_manager, 1, 200) WHERE LENGTH(care_manager) > 200;
CREATE INDEX standing_by_place ON standing (clinic_id, attention, waiting_since, (-COALESCE(latest_score, -1)), episode_id,
  patient_id, status, display_name, care_manager, enrolled_on, at_target, open_safety, latest_score, findings);
DROP INDEX standing_by_attention;
