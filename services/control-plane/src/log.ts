import type { Logger } from '@muster/ports';
import { type DestinationStream, pino } from 'pino';

/** Secrets by the names that they have everywhere; none should come here, and none is written if one does. */
const SECRETS = ['token', '*.token', 'activation', '*.activation', 'key'];

/** The Logger port on pino: JSON lines, the level by name. */
export function makeLogger(level: string, destination: DestinationStream = pino.destination(1)): Logger {
  return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) }, redact: SECRETS }, destination);
}
