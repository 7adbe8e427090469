/** What the command line takes, as it is told to people. */

export const COMMANDS = ['serve', 'check', 'explain', 'purge', 'writes', 'reload', 'stop', 'schema'] as const;
export type CommandName = (typeof COMMANDS)[number];

export function isCommand(word: string): word is CommandName {
  return COMMANDS.some((name) => name === word);
}

/** Of one command; null: of all. */
export function usageOf(command: CommandName | null): string {
  return command === null ? OVERVIEW : USAGE[command];
}

const OVERVIEW = `Usage: weir COMMAND [--config FILE] [--json]

  serve               run the cache
  check               say whether the configuration is fine, and everything that is wrong with it
  explain METHOD URL  say which route takes a request, and what becomes of it and of its response
  explain --event F   say what a message of a feed would invalidate
  purge               invalidate what is stored, through the admin side of a running Weir
  writes ...          list, show, retry or discard writes of the journal, through the admin side of a running Weir
  reload              make a running Weir read its configuration again
  stop                end a running Weir when the requests under way are done
  schema              print the JSON Schema of the configuration file

  --config FILE       the configuration; default proxy.config.yaml
  --json              print JSON; not with serve
  --admin URL         the admin side of the running Weir; also WEIR_ADMIN. No configuration file is then needed
  --token TOKEN       its token; also WEIR_ADMIN_TOKEN, which other users of the machine can't see
  --help, --version

Exit codes: 0 fine, 1 it is not, 2 wrong usage. "weir COMMAND --help" says more.
`;

const CONFIG = '  --config FILE         the configuration; default proxy.config.yaml\n';
const JSON_OPTION = '  --json                print JSON\n';
const ADMIN_OPTIONS = `  --admin URL           the admin side, in place of the one that the configuration names; also WEIR_ADMIN, unless
                        --config is given. No configuration file is then needed
  --token TOKEN         its token; also WEIR_ADMIN_TOKEN, which other users of the machine can't see
`;
const RUNNING = '[--admin URL] [--token TOKEN] [--config FILE] [--json]';

const USAGE: Readonly<Record<CommandName, string>> = {
  serve: `Usage: weir serve [--config FILE] [--distrust]

Runs the cache. SIGHUP reads the configuration again; SIGTERM and SIGINT end it when the requests under
way are done, a second one at once. The log goes to standard output, one line of JSON an event.

  --distrust            the disk path was restored in a way that its files do not show, as from a snapshot of
                        the machine: revalidate everything stored, and send no waiting write until you decide
${CONFIG}`,
  check: `Usage: weir check [--config FILE] [--json]

Says whether the configuration is fine, and everything that is wrong with it.

${CONFIG}${JSON_OPTION}`,
  explain: `Usage: weir explain METHOD URL [-H 'NAME: VALUE']... ${RUNNING}
       weir explain --event FILE [--feed NAME] [-H 'NAME: VALUE']... [--config FILE] [--json]

Says which route takes a request and why those before it do not, under which key and tags its response is
stored, and what is stored now, if a Weir runs. URL is a path or absolute. Exit code 1: no route takes it.

With --event, says what a message of a feed would invalidate. Exit code 1: not all of it is mapped.

  -H, --header LINE     a header field of the request or the message; may be repeated
  --event FILE          a message, as the feed would bring it
  --feed NAME           the feed, where there are several
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  purge: `Usage: weir purge [--url URL]... [--tag TAG]... [--prefix PREFIX]... [--host HOST]... [--route NAME]...
                  [--all] [--soft] [--dry-run]
                  ${RUNNING}

Invalidates what is stored, through the admin side of a running Weir.

  --url URL             a path, on every host, or an absolute URL
  --tag TAG             what bears this tag
  --prefix PREFIX       what lies below a path of whole segments, or of an absolute URL
  --host HOST           what belongs to a host
  --route NAME          what a route stored
  --all                 everything
  --soft                may be served stale where stale-while-revalidate and stale-if-error allow
  --dry-run             count what would be purged, and purge nothing
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  writes: `Usage: weir writes list [--state waiting|dead|done] [--limit N] [--after ID] ...
       weir writes show ID ...
       weir writes retry ID... ...
       weir writes discard ID... ...
where ... is ${RUNNING}

Looks after the writes that a route with policy: behind has acknowledged, through the admin side of a running
Weir. retry sends a dead write again: in its place where it stops its URL, else behind all others of its
URL. discard gives one up for good.

  --state STATE         those that wait, are dead, or were delivered; default dead
  --limit N             at most so many; default 100
  --after ID            those that were accepted later than this one
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  reload: `Usage: weir reload ${RUNNING}

Makes a running Weir read its own configuration file again. What is wrong with the file is printed, and the old
configuration stays in force: exit code 1.

${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  stop: `Usage: weir stop ${RUNNING}

Ends a running Weir when the requests under way are done, and waits until it has ended.

${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  schema: `Usage: weir schema [--json]

Prints the JSON Schema of the configuration file.
`,
};
