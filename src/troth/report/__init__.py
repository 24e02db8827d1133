"""What a run leaves behind: its folder, and the page, table, plot and live display made of it.

Modules, from the ground up: `atomic` (writes that a kill cannot tear), `folder` (a run's folder),
`read` (a run read back), `text` (numbers as people read them), `progress` (the live display),
`table` (the end of a run, as text and JSON), `curves`, `view` and `page` (report.html), `plots`
(notebooks).
"""
