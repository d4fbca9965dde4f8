"""Plans as the Plans API sends them: messages checked, and made records again."""
