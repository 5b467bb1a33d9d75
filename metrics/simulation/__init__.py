"""A synthetic streaming service: profiles, sessions, events, exposures, faulty deliveries, and the truth."""
