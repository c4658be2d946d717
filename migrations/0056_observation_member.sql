-- Which panel an item Observation belongs to, where a panel or a total says so (hasMember, derivedFrom). The panel may come
-- before its items.
CREATE TABLE observation_member (
  clinic_id TEXT NOT NULL,
  member    TEXT NOT NULL,             -- Observation/123
  panel     TEXT NOT NULL,
  PRIMARY KEY (clinic_id, member)
);
CREATE INDEX observation_member_by_panel ON observation_member (clinic_id, panel, member);
