import { onCore, SERVER_CORE } from './place.ts';
import type { Server } from './server.ts';
import type { BareAnswer } from '../processes/bare-server.ts';
import { withoutFields } from '../../policies/http/fields.ts';

/** A `node:http` server that sends a copy of the origin's response: a lower bound for a cache on `node:http`. */
export const bareNode: Server = {
  name: 'node',
  title: 'bare node:http',
  async version() {
    return process.version.slice(1);
  },
  async start(stage, row, { answer }) {
    const given = row.isConditional ? notModified(answer) : answer;
    const server = await stage.bareServer(given, onCore(SERVER_CORE));
    return { ...server, settled: async () => null };
  },
};

const OF_CONTENT: ReadonlySet<string> = new Set(['content-length', 'content-type']);

function notModified({ fields }: BareAnswer): BareAnswer {
  return { status: 304, fields: withoutFields(fields, OF_CONTENT), content: new Uint8Array() };
}
