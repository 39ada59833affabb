import { askAdmin } from '../cluster/ask-admin.ts';
import { readConfigurationFile } from '../cluster/configuration-file.ts';
import { formatMs } from '../output/format.ts';
import { type ClusterOptions, durationArgument, type RegisterCommands, show, useCluster, withClusterOptions } from './cluster-command.ts';
import { hostsText } from './reads.ts';

/** `hosts`, `drain`, `hold`, `pause`, `resume`, `apply`: what an operator changes. */
export const registerAdministration: RegisterCommands = (program, context) => {
  const hosts = withClusterOptions(program.command('hosts'))
    .description('machines that start workers')
    .action(async (options: ClusterOptions) => {
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'hosts' }));
      show(context, options, answer, (hostList) => hostsText(hostList.hosts));
    });
  withClusterOptions(hosts.command('forget'))
    .argument('<host>', 'a silent host that will never come back')
    .description('count the workers of a host that is gone for good as gone')
    .action(async (host: string, _: ClusterOptions, command: { optsWithGlobals(): ClusterOptions }) => {
      const options = command.optsWithGlobals();
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'forget-host', host }));
      show(context, options, answer, () => `host ${host} is forgotten`);
    });

  withClusterOptions(program.command('drain'))
    .argument('<slot>', 'id of the slot')
    .description('stop one worker; a reserved one only with --force')
    .option('--force', 'also when it is reserved: its holder loses it')
    .action(async (slot: string, options: ClusterOptions & { force?: boolean }) => {
      const force = options.force ?? false;
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'drain', slot, force }));
      show(context, options, answer, () => `${slot} is draining`);
    });

  withClusterOptions(program.command('hold'))
    .argument('<pool>')
    .description('keep a pool from scaling; reserves go on, and wait')
    .option('--for <duration>', 'ends by itself after this, as 5m (the default)', durationArgument)
    .action(async (pool: string, options: ClusterOptions & { for?: number }) => {
      const request = { type: 'hold', pool, ...(options.for === undefined ? {} : { holdMs: options.for }) } as const;
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, request));
      show(context, options, answer, ({ holdLeftMs }) => `${pool} is held for ${formatMs(holdLeftMs)}`);
    });

  withClusterOptions(program.command('pause'))
    .argument('<pool>')
    .description('let a pool refuse reserves, until it is resumed; what is reserved stays')
    .action(async (pool: string, options: ClusterOptions) => {
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'pause', pool }));
      show(context, options, answer, () => `${pool} refuses reserves until: muster resume ${pool}`);
    });

  withClusterOptions(program.command('resume'))
    .argument('<pool>')
    .description('end the hold and the pause of a pool')
    .action(async (pool: string, options: ClusterOptions) => {
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'resume', pool }));
      show(context, options, answer, () => `${pool} scales and takes reserves`);
    });

  withClusterOptions(program.command('apply'))
    .description('make the pools and orgs of a configuration file those of the cluster')
    .requiredOption('-f, --file <file>', 'a muster.yaml')
    .action(async (options: ClusterOptions & { file: string }) => {
      const { text } = readConfigurationFile(options.file, context.folder);
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'apply', yaml: text }));
      show(context, options, answer, ({ configVersion, isChanged, warnings }) =>
        [`configuration ${configVersion} ${isChanged ? 'is applied' : 'was in force already'}`, ...warnings].join('\n'),
      );
    });
};
