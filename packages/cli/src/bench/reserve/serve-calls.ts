import type { Call, CallAnswer } from './child-program.ts';

/** Answers the calls of the process that forked this one, and ends with it. */
export function serveCalls(answer: (body: never) => Promise<unknown>): void {
  process.on('message', ({ id, body }: Call) => {
    const reply = (said: CallAnswer): void => void (process.connected && process.send?.(said));
    answer(body as never).then(
      (value) => reply({ id, ok: true, value }),
      (error: unknown) => reply({ id, ok: false, message: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
  // A Ctrl-C in the terminal reaches this one too: its parent says when it ends.
  process.on('SIGINT', () => undefined);
}
