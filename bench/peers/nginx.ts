import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, folderIn } from './daemon.ts';
import { nginxConfig } from './nginx-config.ts';
import { SERVER_CORE } from './place.ts';
import { findProgram, versionOf } from './programs.ts';
import type { ComparedRow } from './rows.ts';
import type { Server } from './server.ts';

/** nginx with one worker, persistent connections to the origin and a cache of files. */
export const nginx: Server = {
  name: 'nginx',
  title: 'nginx',
  async version() {
    const path = findProgram('nginx');
    return path === null ? null : versionOf(path, '-v', /nginx\/([\d.]+)/);
  },
  async start(stage, row, origin) {
    const path = findProgram('nginx')!;
    const daemon = await Daemon.start(SERVER_CORE, (folder, port) => {
      const file = join(folder, 'nginx.conf');
      writeFileSync(file, nginxConfig(folder, proxy(folder, port, row, origin.port)));
      return [path, '-p', folder, '-c', file];
    });
    await stage.keep(() => daemon.stop());
    return { url: `http://127.0.0.1:${daemon.port}`, pid: daemon.pid, settled: async () => null };
  },
};

function proxy(folder: string, port: number, { diskMiB }: ComparedRow, originPort: number): string {
  return `proxy_cache_path ${folderIn(folder, 'cache')} levels=1:2 keys_zone=cache:64m max_size=${diskMiB}m inactive=1d
    use_temp_path=off;
  upstream origin {
    server 127.0.0.1:${originPort};
    keepalive 128; keepalive_requests 1000000000; keepalive_timeout 75s;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache cache; proxy_cache_key $scheme$proxy_host$request_uri;
    }
  }`;
}
