import type { MessageBus } from '@muster/ports';
import { type AdminAnswers, isMusterError } from '@muster/protocol';
import { askAdmin } from '../cluster/ask-admin.ts';
import type { CliContext } from '../context.ts';
import {
  type ClusterOptions,
  durationArgument,
  type RegisterCommands,
  useCluster,
  wholeNumberArgument,
  withClusterOptions,
} from './cluster-command.ts';
import { intentsText, orgsText, poolsText } from './reads.ts';

interface TopOptions extends ClusterOptions {
  readonly every: number;
  readonly times: number;
}

const INTENTS = 5;
const ORGS = 10;
/** To the upper left, and everything from there away. */
const CLEAR = '\u001b[H\u001b[2J';

/** `top`: what goes on, again and again. */
export const registerTop: RegisterCommands = (program, context) => {
  withClusterOptions(program.command('top'))
    .description('pools, the orgs that have most, and the last decisions, again and again; Ctrl-C ends it')
    .option('--every <duration>', 'between two looks', durationArgument, 1_000)
    .option('--times <n>', 'end after so many looks', wholeNumberArgument(1, 1_000_000), Number.POSITIVE_INFINITY)
    .action(async (options: TopOptions) => {
      let isStopped = false;
      let wake = (): void => undefined;
      const stopListening = context.onStopSignal(() => {
        isStopped = true;
        wake();
      });
      try {
        await useCluster(context, options, async (bus) => {
          for (let left = options.times; !isStopped; left -= 1) {
            await look(context, options, bus);
            if (left === 1 || isStopped) break;
            await new Promise<void>((resolve) => {
              const timer = context.clock.setTimer(options.every, resolve);
              wake = () => {
                timer.cancel();
                resolve();
              };
            });
          }
        });
      } finally {
        stopListening();
      }
    });
};

/** A replica that does not answer now is waited for: whoever watches wants to see that too. */
async function look(context: CliContext, options: TopOptions, bus: MessageBus): Promise<void> {
  let shown: string;
  try {
    const status = await askAdmin(bus, { type: 'status' });
    const { orgs } = await askAdmin(bus, { type: 'orgs' });
    const { intents } = await askAdmin(bus, { type: 'intents', limit: INTENTS });
    if (options.json === true) shown = JSON.stringify({ ok: true, status, orgs: orgs.toSorted(byMost).slice(0, ORGS), intents });
    else shown = topText(status, orgs, intents, context.clock.wallMs());
  } catch (error) {
    if (!isMusterError(error) || !error.retryable) throw error;
    const { code, message } = error;
    shown = options.json === true ? JSON.stringify({ ok: false, error: { code, message } }) : `no answer now: ${message}`;
  }
  context.out(context.isTerminal && options.json !== true ? `${CLEAR}${shown}` : shown);
}

function topText(
  { cluster, replicas, pools }: AdminAnswers['status'],
  orgs: AdminAnswers['orgs']['orgs'],
  intents: AdminAnswers['intents']['intents'],
  nowMs: number,
): string {
  const alive = replicas.filter(({ isAlive }) => isAlive).length;
  const busy = orgs.filter((org) => countOf(org) > 0).toSorted(byMost);
  const more = busy.length > ORGS ? `\nand ${busy.length - ORGS} more` : '';
  return [
    `${cluster}: ${alive} of ${replicas.length} replicas`,
    poolsText(pools),
    ...(busy.length === 0 ? [] : [`${orgsText(busy.slice(0, ORGS))}${more}`]),
    intentsText(intents, nowMs),
  ].join('\n\n');
}

function byMost(one: AdminAnswers['orgs']['orgs'][number], other: typeof one): number {
  return countOf(other) - countOf(one) || (one.org < other.org ? -1 : 1);
}

function countOf({ pools }: AdminAnswers['orgs']['orgs'][number]): number {
  return pools.reduce((sum, { reserved, parked, waiting }) => sum + reserved + parked + waiting, 0);
}
