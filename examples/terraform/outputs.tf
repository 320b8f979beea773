output "functions" {
  description = "The ARN of each rotation function, by engine."
  value       = { for name, value in aws_cloudformation_stack.rotation.outputs : trimsuffix(name, "FunctionArn") => value if endswith(name, "FunctionArn") }
}

output "alarm_topic" {
  description = "The SNS topic for alarms and failed rotations."
  value       = aws_cloudformation_stack.rotation.outputs["AlarmTopicArn"]
}
