import type { Logger } from '@muster/ports';
import { pino } from 'pino';

/** The Logger port on pino: JSON lines on standard output, the level by name. */
export function makeLogger(level: string): Logger {
  return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } });
}
