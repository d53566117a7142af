"""Organisations, users, sessions, the audit log. Who somebody is; not what the business does."""
