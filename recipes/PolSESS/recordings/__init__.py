"""Recordings, read to their end whatever their headers say."""
