"""The console: pages in a browser that show plans, nodes and costs, and change nothing."""
