import { describe, expect, it } from 'vitest';
import { readArguments } from '../../proxy/cli/arguments.ts';

function words(line: string) {
  return readArguments(line.split(' ').filter((word) => word !== ''));
}

describe('the command line', () => {
  it('reads each command with its configuration file', () => {
    expect(words('serve')).toEqual({ kind: 'serve', file: 'proxy.config.yaml', distrust: false });
    expect(words('serve --config a.yaml')).toEqual({ kind: 'serve', file: 'a.yaml', distrust: false });
    expect(words('serve --distrust')).toMatchObject({ kind: 'serve', distrust: true });
    expect(words('check --json --config=a.yaml')).toEqual({ kind: 'check', file: 'a.yaml', json: true });
    expect(words('schema --json')).toEqual({ kind: 'schema' });
    expect(words('--version')).toEqual({ kind: 'version' });
    expect(words('--help')).toEqual({ kind: 'help', command: null });
    expect(words('purge --help')).toEqual({ kind: 'help', command: 'purge' });
  });

  it("reads the address of a running Weir's admin side", () => {
    expect(words('reload')).toEqual({ kind: 'reload', file: 'proxy.config.yaml', json: false });
    expect(words('stop --admin http://[::1]:9/ --token t --json')).toEqual({
      kind: 'stop',
      file: 'proxy.config.yaml',
      json: true,
      running: { admin: 'http://[::1]:9', token: 't', isFileNamed: false },
    });
    expect(words('purge --all --config a.yaml')).toMatchObject({
      file: 'a.yaml',
      running: { admin: null, token: null, isFileNamed: true },
    });
  });

  it('reads a request to explain, with its fields', () => {
    const argv = ['explain', 'get', 'http://a.example/b?c', '-H', 'X-Country: de', '--header', 'Accept:x'];
    expect(readArguments(argv)).toEqual({
      kind: 'explain',
      file: 'proxy.config.yaml',
      json: false,
      method: 'GET',
      url: 'http://a.example/b?c',
      place: { authority: 'a.example', path: '/b', query: 'c' },
      fields: ['X-Country', 'de', 'Accept', 'x'],
    });
  });

  it('reads everything that a purge can name', () => {
    const line =
      'purge --url /a --url /b --tag t --prefix /p --host h --route r --all --soft --dry-run --json';
    expect(words(line)).toEqual({
      kind: 'purge',
      file: 'proxy.config.yaml',
      json: true,
      request: {
        urls: ['/a', '/b'],
        tags: ['t'],
        prefixes: ['/p'],
        hosts: ['h'],
        routes: ['r'],
        all: true,
        mode: 'soft',
        dryRun: true,
      },
    });
  });

  it.each([
    ['', null, 'expected a command'],
    ['sevre', null, 'expected a command, got "sevre"'],
    ['serve --json', 'serve', "Unknown option '--json'"],
    ['check --config', 'check', "Option '--config <value>' argument missing"],
    ['check file.yaml', 'check', "Unexpected argument 'file.yaml'"],
    ['explain GET', 'explain', 'expected METHOD and URL, got 1 arguments'],
    ['explain GET a', 'explain', 'expected a path or an absolute http(s) URL, got "a"'],
    ['explain G/T /a', 'explain', 'expected a method, got "G/T"'],
    ['explain GET /a -H x', 'explain', `expected 'NAME: VALUE', got "x"`],
    ['stop --admin localhost:8081', 'stop', 'expected an http(s) URL without query or credentials'],
    ['reload --admin http://u:p@h/', 'reload', 'expected an http(s) URL without query or credentials'],
    ['purge --soft', 'purge', 'expected what to purge: --url, --tag, --prefix, --host, --route or --all'],
  ])('rejects "weir %s"', (line, command, message) => {
    const read = words(line);
    expect(read).toMatchObject({ kind: 'wrong', command });
    expect(read.kind === 'wrong' && read.message).toContain(message);
  });
});
