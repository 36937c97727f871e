-- From where a session was begun; NULL: it was not said, or the session is older than this.
ALTER TABLE sessions ADD COLUMN client text;

-- By which browser or program, as it says itself.
ALTER TABLE sessions ADD COLUMN user_agent text;
