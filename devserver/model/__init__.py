"""The served model: finding, loading and warming it up, and its state."""
