import type { CreateOutcome } from '@muster/ports';
import { type ApiFault, unavailable } from './api/api-fault.ts';
import { faultText } from './worker-fault.ts';

/**
 * What a refused create means for its slot. `exists` is not here: what is there has to be looked at first.
 * @throws MusterError `driver-unavailable` where it may have been done, or may be done by asking again
 */
export function outcomeOfFault(fault: ApiFault): CreateOutcome {
  switch (fault.kind) {
    case 'quota':
      return { kind: 'failed', reason: faultText('quota', fault.message), retryable: true };
    case 'forbidden':
      return { kind: 'failed', reason: faultText('forbidden', fault.message), retryable: false };
    case 'invalid':
    // A namespace that is not there is a configuration that cannot work.
    case 'absent':
      return { kind: 'failed', reason: faultText('invalid-template', fault.message), retryable: false };
    case 'exists':
    case 'conflict':
    case 'unauthenticated':
    case 'expired':
    case 'throttled':
    case 'server-error':
    case 'unreachable':
      throw unavailable('did not make the pod', fault);
  }
}
