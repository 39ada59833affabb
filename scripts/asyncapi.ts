// Writes docs/reference/asyncapi.json out of the schemas of the protocol. Run it when they change: `npm run asyncapi`.
import { writeFileSync } from 'node:fs';
import { asyncApi } from '../test/tidy/asyncapi.ts';

writeFileSync(new URL('../docs/reference/asyncapi.json', import.meta.url), `${JSON.stringify(asyncApi(), undefined, 2)}\n`);
