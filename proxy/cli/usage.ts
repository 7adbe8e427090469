/** The usage texts of the command line. */

export const COMMANDS = ['serve', 'check', 'explain', 'purge', 'writes', 'reload', 'stop', 'schema'] as const;
export type CommandName = (typeof COMMANDS)[number];

export function isCommand(word: string): word is CommandName {
  return COMMANDS.some((name) => name === word);
}

/** Returns the usage of one command, or of all commands for null. */
export function usageOf(command: CommandName | null): string {
  return command === null ? OVERVIEW : USAGE[command];
}

const OVERVIEW = `Usage: weir COMMAND [--config FILE] [--json]

  serve               run the cache
  check               check the configuration file and list all its errors
  explain METHOD URL  show which route handles a request, and how its response is cached
  explain --event F   show what a message of a feed would invalidate
  purge               invalidate stored responses of a running Weir
  writes ...          list, show, retry or discard writes in the journal of a running Weir
  reload              make a running Weir read its configuration file again
  stop                stop a running Weir once the requests in progress are done
  schema              print the JSON Schema of the configuration file

  --config FILE       the configuration file; default proxy.config.yaml
  --json              print JSON; not with serve
  --admin URL         the admin side of the running Weir (or WEIR_ADMIN), in place of a configuration file
  --token TOKEN       its token (or WEIR_ADMIN_TOKEN, which other users of the machine can't see)
  --help, --version

Exit codes: 0 success, 1 failure, 2 wrong usage. "weir COMMAND --help" explains a command.
`;

const CONFIG = '  --config FILE         the configuration file; default proxy.config.yaml\n';
const JSON_OPTION = '  --json                print JSON\n';
const ADMIN_OPTIONS = `  --admin URL           the admin side of the running Weir, in place of a configuration file. Without --config,
                        WEIR_ADMIN names it as well
  --token TOKEN         its token (or WEIR_ADMIN_TOKEN, which other users of the machine can't see)
`;
const RUNNING = '[--admin URL] [--token TOKEN] [--config FILE] [--json]';

const USAGE: Readonly<Record<CommandName, string>> = {
  serve: `Usage: weir serve [--config FILE] [--distrust]

Runs the cache. SIGHUP makes it read the configuration again. SIGTERM and SIGINT stop it once the requests in
progress are done; a second one stops it at once. The log goes to standard output, one line of JSON per event.

  --distrust            the disk path was restored in a way that its files do not show, such as from a snapshot
                        of the machine: revalidate all stored responses, and send no waiting write until you
                        retry it
${CONFIG}`,
  check: `Usage: weir check [--config FILE] [--json]

Checks the configuration file and lists all its errors. Exit code 1: it has errors.

${CONFIG}${JSON_OPTION}`,
  explain: `Usage: weir explain METHOD URL [-H 'NAME: VALUE']... ${RUNNING}
       weir explain --event FILE [--feed NAME] [-H 'NAME: VALUE']... [--config FILE] [--json]

Shows which route handles a request and why earlier routes do not, the key and the tags of its stored response, and
what a running Weir has stored for it. URL is a path or an absolute URL. Exit code 1: no route handles it.

With --event, shows what a message of a feed would invalidate. Exit code 1: a change in it is not mapped.

  -H, --header LINE     a header field of the request or the message; may be repeated
  --event FILE          a message, as the feed would deliver it
  --feed NAME           the feed; required if there are several
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  purge: `Usage: weir purge [--url URL]... [--tag TAG]... [--prefix PREFIX]... [--host HOST]... [--route NAME]...
                  [--all] [--soft] [--dry-run]
                  ${RUNNING}

Invalidates stored responses of a running Weir. Each is revalidated at its next use.

  --url URL             a path, on every host, or an absolute URL
  --tag TAG             responses with this tag
  --prefix PREFIX       everything below a path of whole segments, or below an absolute URL
  --host HOST           everything of a host
  --route NAME          everything that a route stored
  --all                 everything
  --soft                allow stale responses where stale-while-revalidate and stale-if-error allow
  --dry-run             count the responses that would be purged, and purge nothing
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  writes: `Usage: weir writes list [--state waiting|dead|done] [--limit N] [--after ID] ...
       weir writes show ID ...
       weir writes retry ID... ...
       weir writes discard ID... ...
where ... is ${RUNNING}

Manages the writes that routes with policy: behind have acknowledged. retry sends a dead write again: in its
original order if later writes to its URL wait for it, otherwise after all other writes to its URL. discard removes a
write permanently.

  --state STATE         waiting, dead, or delivered (done) writes; default dead
  --limit N             the largest number of writes to list; default 100
  --after ID            only writes accepted after this one
${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  reload: `Usage: weir reload ${RUNNING}

Makes a running Weir read its own configuration file again. If the file has errors, they are printed, the old
configuration stays in force, and the exit code is 1.

${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  stop: `Usage: weir stop ${RUNNING}

Stops a running Weir once the requests in progress are done, and waits until it has ended.

${ADMIN_OPTIONS}${CONFIG}${JSON_OPTION}`,
  schema: `Usage: weir schema [--json]

Prints the JSON Schema of the configuration file.
`,
};
