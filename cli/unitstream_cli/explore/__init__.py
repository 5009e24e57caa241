"""The explorer: a page in the browser that shows metrics and unit metrics, and makes pages to hand over."""
