"""What scenarios share: settings and their keys, results, tables, figures, commands."""
