# The rotation functions of secret-rotation: the folder that `make package` made, in a bucket, and a stack of it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.68" }
  }
}

resource "aws_s3_object" "artifact" {
  for_each    = fileset(var.package, "*")
  bucket      = var.bucket
  key         = "${var.name}/${each.value}"
  source      = "${var.package}/${each.value}"
  source_hash = filemd5("${var.package}/${each.value}")
  tags        = var.tags
}

data "aws_s3_bucket" "artifacts" {
  bucket = var.bucket
}

resource "aws_cloudformation_stack" "rotation" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.artifact["template.json"].key}?${aws_s3_object.artifact["template.json"].source_hash}"
  capabilities = ["CAPABILITY_IAM"]
  parameters   = merge(var.parameters, { ArtifactBucket = var.bucket, ArtifactPrefix = "${var.name}/" })
  tags         = var.tags
  depends_on   = [aws_s3_object.artifact]
}

# Nothing rotates at once. On destroy, rotation is turned off before the stack goes: the schedules depend on it.
resource "aws_secretsmanager_secret_rotation" "attached" {
  for_each            = var.secrets
  secret_id           = each.value.arn
  rotation_lambda_arn = aws_cloudformation_stack.rotation.outputs["${each.value.engine}FunctionArn"]
  rotate_immediately  = false

  rotation_rules {
    schedule_expression = each.value.schedule
    duration            = "2h"
  }
}
