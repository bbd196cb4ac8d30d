"""Self-contained HTML pages, and plots in SVG."""
