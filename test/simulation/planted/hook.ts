// Loaded with `node --import` before the simulator: plants the bug that `--plant` names into the sources as they are loaded.
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { plant } from './plant.ts';

const at = process.argv.indexOf('--plant');
const name = at < 0 ? undefined : process.argv[at + 1];

if (name !== undefined) {
  const change = plant(name);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.startsWith('file:') || loaded.source === undefined || loaded.source === null) return loaded;
      const text = typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
      const changed = change(fileURLToPath(url), text);
      return changed === text ? loaded : { ...loaded, source: changed };
    },
  });
}
