"""Reading back: metrics, series, points, views and unit metrics, as tables, CSV or JSON."""
