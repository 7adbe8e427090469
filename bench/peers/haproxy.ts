import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { SERVER_CORE } from './place.ts';
import { findProgram, versionOf } from './programs.ts';
import type { Server } from './server.ts';

/** HAProxy with one thread, persistent connections to the origin and its cache, which is in memory. */
export const haproxy: Server = {
  name: 'haproxy',
  title: 'HAProxy',
  async version() {
    const path = findProgram('haproxy');
    return path === null ? null : versionOf(path, '-v', /HAProxy version ([\d.]+)/);
  },
  async start(stage, _row, origin) {
    const path = findProgram('haproxy')!;
    const daemon = await Daemon.start(SERVER_CORE, (folder, port) => {
      const file = join(folder, 'haproxy.cfg');
      writeFileSync(file, configuration(port, origin.port));
      return [path, '-db', '-f', file];
    });
    await stage.keep(() => daemon.stop());
    return { url: `http://127.0.0.1:${daemon.port}`, pid: daemon.pid, settled: async () => null };
  },
};

/** Units in the cache's part: MB in all, bytes of one object, seconds. */
function configuration(port: number, originPort: number): string {
  return `global
  nbthread 1
  maxconn 4096
cache cache
  total-max-size 512
  max-object-size 131072
  max-age 3600
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  http-reuse always
frontend main
  bind 127.0.0.1:${port}
  http-request cache-use cache
  http-response cache-store cache
  default_backend origin
backend origin
  server origin 127.0.0.1:${originPort}
`;
}
