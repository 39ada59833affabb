/**
 * Thrown by `onActivate` to refuse an activation.
 *
 * `request`: because of what was asked (a locked database, a bad secret); another worker would refuse it too, so the
 * client is told, in the words of `message`. `worker`: because of this worker; another one is tried. Any other error that
 * `onActivate` throws counts as `worker`.
 */
export class ActivationRefused extends Error {
  readonly refusalCause: 'request' | 'worker';

  constructor(refusalCause: 'request' | 'worker', message: string) {
    super(message);
    this.name = 'ActivationRefused';
    this.refusalCause = refusalCause;
  }
}
