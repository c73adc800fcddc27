"""Dashboards and alerts from one table. Knows neither Pulumi nor the web service."""
