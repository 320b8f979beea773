// The rotation functions of secret-rotation as a CDK construct: the template that `make package` made, and no other.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { aws_ec2, aws_iam, aws_s3_assets, aws_secretsmanager } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { Construct } from 'constructs';

// Where a resource says its zip file, and how the bucket and the key are called there.
const CODE: Record<string, string> = { 'AWS::Lambda::Function': 'Code', 'AWS::Lambda::LayerVersion': 'Content' };

export interface SecretRotationProps {
  /** The folder `.aws-sam/package`. */
  readonly package: string;
  /** The template's parameters; a list is the value of a parameter that takes a list. */
  readonly parameters: Record<string, string | string[]>;
}

/** All that the template makes. One per stack: the functions are named after the stack. */
export class SecretRotation extends Construct {
  /** Of the functions, if the parameters have a VpcId and VpcSubnetIds. */
  readonly securityGroup: aws_ec2.ISecurityGroup;
  private readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: SecretRotationProps) {
    super(scope, id);
    const templateFile = join(props.package, 'template.json');
    this.template = new CfnInclude(this, 'Template', {
      templateFile,
      parameters: { ArtifactBucket: 'unused', ArtifactBucketPerRegion: 'false', ArtifactPrefix: '', ...props.parameters },
    });
    const resources: Record<string, any> = JSON.parse(readFileSync(templateFile, 'utf8')).Resources;
    for (const [name, resource] of Object.entries(resources)) {
      const place = CODE[resource.Type];
      if (place) this.useAsset(name, place, resource.Properties[place].S3Key['Fn::Sub'], props.package);
    }
    const groupId = this.template.getResource('FunctionSecurityGroup').getAtt('GroupId').toString();
    this.securityGroup = aws_ec2.SecurityGroup.fromSecurityGroupId(this, 'Functions', groupId);
  }

  /** Let an engine's function rotate the secret, not at once; `engine` as in the template: "PostgreSql". */
  attach(secret: aws_secretsmanager.ISecret, engine: string, schedule = 'rate(30 days)'): void {
    const rotation = new aws_secretsmanager.CfnRotationSchedule(secret, 'RotationBySecretRotation', {
      secretId: secret.secretArn,
      rotationLambdaArn: this.template.getResource(`${engine}Function`).getAtt('Arn').toString(),
      rotateImmediatelyOnUpdate: false,
      rotationRules: { scheduleExpression: schedule, duration: '2h' },
    });
    // The service calls the function at once. The guard keeps the function as long as the schedule needs it.
    for (const needed of [`${engine}Permission`, 'Guard']) rotation.addResourceDependency(this.template.getResource(needed));
  }

  /** Let somebody rotate the secret now. The function itself needs no grant: the template has it. */
  grantRotate(grantee: aws_iam.IGrantable, secret: aws_secretsmanager.ISecret): aws_iam.Grant {
    const actions = ['secretsmanager:DescribeSecret', 'secretsmanager:RotateSecret'];
    return aws_iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [secret.secretArn] });
  }

  private useAsset(name: string, place: string, key: string, folder: string): void {
    const path = join(folder, key.replace('${ArtifactPrefix}', ''));
    const asset = new aws_s3_assets.Asset(this, name, { path });
    const code = { S3Bucket: asset.s3BucketName, S3Key: asset.s3ObjectKey };
    this.template.getResource(name).addPropertyOverride(place, code);
  }
}
