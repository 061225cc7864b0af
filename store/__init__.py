"""What lasts: SQLAlchemy Core over SQLite or PostgreSQL. One transaction per use; the database settles races."""
