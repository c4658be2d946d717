-- What we know about the EHRs that we are connected to. One text for SQLite and PostgreSQL; `clinic_id` leads every key.

-- One row per connection: who is fetching from it now, and when it is due again.
CREATE TABLE connection (
  clinic_id     TEXT        NOT NULL,
  name          TEXT        NOT NULL,
  due_at        TIMESTAMPTZ NOT NULL,
  wanted        BIGINT      NOT NULL DEFAULT 0, -- counts the calls to look again
  lease_token   UUID,
  lease_until   TIMESTAMPTZ,
  PRIMARY KEY (clinic_id, name)
);

-- How far each type has been fetched. Everything that changed before `watermark`, by the server's clock, is recorded.
CREATE TABLE connection_watermark (
  clinic_id     TEXT        NOT NULL,
  connection    TEXT        NOT NULL,
  type          TEXT        NOT NULL,
  watermark     TIMESTAMPTZ,
  way           TEXT        NOT NULL,             -- last_updated, last_updated_unsorted, everything, by_patient
  way_since     TIMESTAMPTZ NOT NULL,
  swept_at      TIMESTAMPTZ,                      -- the end of the last complete pass, by our clock
  taken         BIGINT      NOT NULL DEFAULT 0,   -- of the last complete pass: what changed something
  seen          BIGINT      NOT NULL DEFAULT 0,   -- of the last complete pass: everything
  failed_at     TIMESTAMPTZ,
  last_error    TEXT,
  PRIMARY KEY (clinic_id, connection, type)
);

-- What is said to have changed and has not been fetched yet, or was fetched and could not be read.
CREATE TABLE connection_hint (
  clinic_id       TEXT        NOT NULL,
  connection      TEXT        NOT NULL,
  type            TEXT        NOT NULL,
  resource_id     TEXT        NOT NULL,
  heard_at        TIMESTAMPTZ NOT NULL,
  wanted          BIGINT      NOT NULL,           -- counts how often it was said
  attempts        INTEGER     NOT NULL,
  next_attempt_at TIMESTAMPTZ NOT NULL,
  last_error      TEXT,
  PRIMARY KEY (clinic_id, connection, type, resource_id)
);
CREATE INDEX connection_hint_by_due ON connection_hint (clinic_id, connection, next_attempt_at);

-- Subscriptions that send to us: ours and others'. Event numbers show what was lost.
CREATE TABLE connection_subscription (
  clinic_id     TEXT        NOT NULL,
  connection    TEXT        NOT NULL,
  subscription  TEXT        NOT NULL,             -- as the server names it: Subscription/12
  purpose       TEXT,                             -- the type that ours is for; NULL for one that somebody else made
  status        TEXT        NOT NULL,
  last_event    BIGINT,
  missed_from   BIGINT,                           -- the first event that did not arrive
  heard_at      TIMESTAMPTZ,
  expires_at    TIMESTAMPTZ,
  last_error    TEXT,
  PRIMARY KEY (clinic_id, connection, subscription)
);

-- Bulk exports, so that one that was interrupted goes on.
CREATE TABLE connection_export (
  clinic_id        TEXT        NOT NULL,
  connection       TEXT        NOT NULL,
  id               UUID        NOT NULL,
  state            TEXT        NOT NULL CHECK (state IN ('running', 'loading', 'done', 'failed')),
  status_url       TEXT        NOT NULL,
  requested_at     TIMESTAMPTZ NOT NULL,
  transaction_time TIMESTAMPTZ,
  finished_at      TIMESTAMPTZ,
  last_error       TEXT,
  PRIMARY KEY (clinic_id, connection, id)
);
CREATE TABLE connection_export_file (
  clinic_id     TEXT        NOT NULL,
  export_id     UUID        NOT NULL,
  number        INTEGER     NOT NULL,
  type          TEXT        NOT NULL,
  deletes       BOOLEAN     NOT NULL,
  url           TEXT        NOT NULL,
  is_open       BOOLEAN     NOT NULL,             -- fetched without a token
  lines         BIGINT      NOT NULL,             -- so many are recorded
  done          BOOLEAN     NOT NULL,
  unusable      BIGINT      NOT NULL,
  PRIMARY KEY (clinic_id, export_id, number)
);
