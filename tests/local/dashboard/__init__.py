"""What does the stack's dashboard show? Its widgets are evaluated here on what our code wrote in a month and more.

`python -m tests.local.dashboard` draws it, as an SVG, without an AWS account. CloudWatch itself does not run here: the
parts of its metrics and of Logs Insights that the dashboard uses are in metrics.py and insights.py. What they do not
know is an error, so a widget cannot use it unseen.
"""
