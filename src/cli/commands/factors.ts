import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { facts } from "../output.ts";
import { confirm } from "../prompt.ts";

type Policy = Operations["setSignInPolicy"]["body"]["secondFactor"];

const POLICIES: Record<Policy, string> = {
  optional: "who wants to; administrators may ask for it of single users",
  administrators: "administrators of the platform and of tenants",
  everybody: "everybody who signs in with a password",
};

/** Who needs a second factor, and the way back for who has lost theirs. */
export function factorCommands(program: Command, cli: Cli): void {
  const factor = group(program, "factor", "second factors", "vautn factor policy");

  leaf(factor, {
    usage: "policy [who]",
    summary: `show or set who needs a second factor: ${Object.keys(POLICIES).join(", ")}`,
    example: "vautn factor policy administrators",
    data: true,
  }).action(async (who: string | undefined, options: CommonOptions) => {
    const session = cli.session();
    if (who !== undefined && !Object.hasOwn(POLICIES, who)) {
      throw misuse(`"${who}" is no policy`, `one of: ${Object.keys(POLICIES).join(", ")}`);
    }
    const policy =
      who === undefined
        ? await session.call("getSignInPolicy")
        : await session.call("setSignInPolicy", { body: { secondFactor: who as Policy } });
    cli.print(options, policy, () =>
      facts([["second factor", `${policy.secondFactor}: ${POLICIES[policy.secondFactor]}`]]),
    );
    if (who === undefined) return;
    cli.note("whoever needs one and has none is asked to set it up at the next sign-in");
  });

  leaf(factor, {
    usage: "require <user>",
    summary: "ask one user for a second factor, whatever the policy says; --no-require: no more",
    example: "vautn factor require eve@example.com",
  })
    .option("--no-require", "let the policy decide again")
    .action(async (user: string, { require }: { require: boolean }) => {
      const { id, email } = await findUser(cli, user);
      const body = { isRequired: require };
      await cli.session().call("requireSecondFactor", { params: { user: id }, body });
      cli.note(`${email} ${require ? "needs a second factor" : "goes by the policy"} from now on`);
    });

  leaf(factor, {
    usage: "reset <user>",
    summary: "for who has lost everything: the password alone counts, every session ends",
    example: "vautn factor reset eve@example.com",
  })
    .option("--yes", "do not ask")
    .action(async (user: string, options: { yes?: boolean }) => {
      const { id, email } = await findUser(cli, user);
      const what = `removing every second factor and passkey of ${email}`;
      await confirm(cli.io, options.yes, what);
      await cli.session().call("resetUserFactors", { params: { user: id } });
      cli.note(`${email} signs in with the password alone; make sure that it is them who asked`);
    });
}

async function findUser(cli: Cli, idOrEmail: string): Promise<{ id: string; email: string }> {
  const { items } = await cli.session().call("listUsers");
  const wanted = idOrEmail.toLowerCase();
  const found = items.find(({ id, email }) => id === wanted || email.toLowerCase() === wanted);
  if (found) return found;
  throw new CliError(`there is no user ${idOrEmail}`, { next: "vautn user list --all" });
}
