"""What every request passes before an API sees it: limits, and who may ask."""
