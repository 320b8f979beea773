// A database whose admin's password rotates: `npx cdk deploy`, after `make package`.
import { join } from 'node:path';
import { App, Stack, Tags, aws_ec2, aws_iam, aws_kms, aws_rds } from 'aws-cdk-lib';
import { SecretRotation } from './secret-rotation';

const app = new App();
const stack = new Stack(app, 'Orders');
const vpc = new aws_ec2.Vpc(stack, 'Vpc', { maxAzs: 2 });
const key = new aws_kms.Key(stack, 'Key');
const database = new aws_rds.DatabaseInstance(stack, 'Database', {
  engine: aws_rds.DatabaseInstanceEngine.postgres({ version: aws_rds.PostgresEngineVersion.VER_17 }),
  vpc,
  credentials: aws_rds.Credentials.fromGeneratedSecret('orders', { encryptionKey: key }),
});

const rotation = new SecretRotation(stack, 'Rotation', {
  package: app.node.tryGetContext('package') ?? join(__dirname, '../../.aws-sam/package'),
  parameters: {
    DeployMySql: 'false',
    DeployMariaDb: 'false',
    DeployOracle: 'false',
    DeploySqlServer: 'false',
    DeployDb2: 'false',
    VpcId: vpc.vpcId,
    VpcSubnetIds: vpc.selectSubnets({ subnetType: aws_ec2.SubnetType.PRIVATE_WITH_EGRESS }).subnetIds,
    KmsKeyArns: [key.keyArn],
  },
});
database.connections.allowDefaultPortFrom(rotation.securityGroup);
rotation.attach(database.secret!, 'PostgreSql', 'cron(0 3 ? * SUN *)');

const onCall = new aws_iam.Role(stack, 'OnCall', { assumedBy: new aws_iam.AccountRootPrincipal() });
rotation.grantRotate(onCall, database.secret!);
Tags.of(rotation).add('team', 'platform');
app.synth();
