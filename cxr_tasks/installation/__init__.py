"""This installation: settings, logins, keys, storage, processes, what runs on it. No stage, no model."""
