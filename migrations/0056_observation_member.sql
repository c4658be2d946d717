-- Which Observations belong to a panel or a total, where it says so (hasMember, derivedFrom). It may come before them.
CREATE TABLE observation_member (
  clinic_id TEXT NOT NULL,
  member    TEXT NOT NULL,             -- Observation/123
  panel     TEXT NOT NULL,
  PRIMARY KEY (clinic_id, member, panel)
);
CREATE INDEX observation_member_by_panel ON observation_member (clinic_id, panel, member);
