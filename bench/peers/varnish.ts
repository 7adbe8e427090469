import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, folderIn } from './daemon.ts';
import { SERVER_CORE } from './place.ts';
import { findProgram, versionOf } from './programs.ts';
import type { Server } from './server.ts';

/** Varnish with its built-in VCL and storage in memory. Its child process does the work. */
export const varnish: Server = {
  name: 'varnish',
  title: 'Varnish',
  async version() {
    const path = findProgram('varnishd');
    return path === null ? null : versionOf(path, '-V', /varnish-([\d.]+)/);
  },
  async start(stage, _row, origin) {
    const path = findProgram('varnishd')!;
    const daemon = await Daemon.start(SERVER_CORE, (folder, port) => {
      const file = join(folder, 'weir-bench.vcl');
      writeFileSync(file, `vcl 4.1;\nbackend origin { .host = "127.0.0.1"; .port = "${origin.port}"; }\n`);
      return [
        path,
        '-F',
        '-n',
        folderIn(folder, 'work'),
        '-j',
        'none',
        '-a',
        `127.0.0.1:${port}`,
        '-T',
        'none',
        '-f',
        file,
        '-s',
        'malloc,1g',
      ];
    });
    await stage.keep(() => daemon.stop());
    return { url: `http://127.0.0.1:${daemon.port}`, pid: daemon.pid, settled: async () => null };
  },
};
