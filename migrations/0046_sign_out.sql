-- By whose word somebody is signed in, and the ID token that the provider wants to see when they sign out there. Gone with
-- the session.
ALTER TABLE session ADD COLUMN issuer TEXT;
ALTER TABLE session ADD COLUMN id_token TEXT;
