"""A laptop-sized AWS: Secrets Manager's rules, IAM's, CloudFormation's, and the runtime of Lambda."""
