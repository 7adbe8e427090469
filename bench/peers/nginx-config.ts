/** The common part of all configurations of nginx: one worker, in the foreground, no access log, folders of its own. */
import { userInfo } from 'node:os';
import { folderIn } from './daemon.ts';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

export function nginxConfig(folder: string, http: string): string {
  const user = userInfo().uid === 0 ? `user ${userInfo().username};` : '';
  const places = TEMPORARY.map((name) => `${name}_temp_path ${folderIn(folder, name)};`);
  return `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr error; ${user}
events { worker_connections 4096; }
http {
  ${places.join(' ')}
  access_log off; sendfile on; tcp_nodelay on;
  keepalive_timeout 75s; keepalive_requests 1000000000;
  ${http}
}
`;
}
