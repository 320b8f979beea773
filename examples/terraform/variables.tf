variable "name" {
  description = "The name of the stack, and of the folder in the bucket. The functions' names begin with it."
  type        = string
  default     = "secret-rotation"
}

variable "package" {
  description = "The folder .aws-sam/package."
  type        = string
}

variable "bucket" {
  description = "A bucket in the Region of the stack. The folder is copied into it."
  type        = string
}

variable "parameters" {
  description = "The template's parameters. A list is one text, with commas between its values."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "The secrets that rotate; the engine is named as in the template: PostgreSql, MySql, MariaDb, Oracle, SqlServer, Db2."
  type = map(object({
    arn      = string
    engine   = string
    schedule = optional(string, "rate(30 days)")
  }))
  default = {}
}

variable "tags" {
  description = "Tags of the stack, and so of all that it makes and that can have tags."
  type        = map(string)
  default     = {}
}
