-- Keys for programs that have no tokens of an issuer. Only a digest is kept: a key is shown once.
CREATE TABLE api_key (
  clinic_id   TEXT        NOT NULL,
  id          UUID        NOT NULL,
  name        TEXT        NOT NULL,
  role        TEXT        NOT NULL,             -- ehr or admin
  scopes      TEXT,                             -- NULL: everything that the role may
  digest      TEXT        NOT NULL,             -- SHA-256 of the secret part, in hexadecimal
  created_at  TIMESTAMPTZ NOT NULL,
  created_by  TEXT        NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL,
  revoked_at  TIMESTAMPTZ,
  PRIMARY KEY (clinic_id, id)
);
