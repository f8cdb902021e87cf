import type { Command } from "commander";
import type { CertificateRadar, RotationCampaign } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { ago, facts, table } from "../output.ts";
import { watchCampaign } from "../rotation-watch.ts";
import type { Session } from "../session.ts";

interface RotateOptions extends CommonOptions {
  device?: string[];
  query?: string;
  group?: string;
  all?: boolean;
  concurrency: number;
  deadline: number;
  jitter: number;
  watch?: boolean;
}

/** `vautn certificate radar`, `rotate` and `rotation`: what is coming, and renewing now. */
export function rotationCommands(certificate: Command, cli: Cli): void {
  radarCommand(certificate, cli);
  rotateCommand(certificate, cli);
  campaignCommands(certificate, cli);
}

function radarCommand(certificate: Command, cli: Cli): void {
  leaf(certificate, {
    usage: "radar",
    summary: "when certificates end, whose rotation fails, and who was refused",
    example: "vautn certificate radar",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const session = cli.session(options);
    const query = { limit: 20 };
    const [picture, failing, knocks] = await Promise.all([
      session.call("getCertificateRadar"),
      session.call("listFailingRotations", { query }),
      session.call("listKnocks", { query }),
    ]);
    const data = { ...picture, failingRotations: failing.items, knocks: knocks.items };
    cli.print(options, data, () => {
      const parts = [describeRadar(picture), weeksOf(picture)];
      if (failing.items.length > 0) {
        const rows = failing.items.map(({ deviceId, step, error, failures, updatedAt }) => [
          ...[deviceId, step, `${error.element}: ${error.message}`, failures, ago(updatedAt)],
        ]);
        parts.push(table(["FAILING", "STEP", "ERROR", "TIMES", "LAST"], rows));
      }
      if (knocks.items.length > 0) {
        const rows = knocks.items.map(({ subject, reason, count, lastSeenAt, address }) => [
          ...[subject, reason, count, address, ago(lastSeenAt)],
        ]);
        parts.push(table(["REFUSED", "REASON", "TIMES", "FROM", "LAST"], rows));
      }
      return parts.join("\n");
    });
  });
}

function describeRadar(picture: CertificateRadar): string {
  const counts = (items: { name: string; count: number }[]) =>
    items.map(({ name, count }) => `${name} ${count}`).join(", ");
  return facts([
    ["devices", `${picture.devices}, ${picture.withoutCertificate} without a certificate`],
    ["overdue", `${picture.overdue}, of which ${picture.expired} have ended`],
    ["failing", picture.failing],
    ["on hold", picture.held],
    ["revoked", picture.revoked],
    ["quarantined", picture.quarantined],
    ["keys", counts(picture.algorithms)],
    ["authorities", counts(picture.authorities)],
  ]);
}

function weeksOf({ weeks, later }: CertificateRadar): string {
  const rows = weeks
    .filter((week) => week.count > 0)
    .map((week) => [week.startsAt.slice(0, 10), week.count]);
  return table(["WEEK FROM", "CERTIFICATES END"], [...rows, ["later", later]]);
}

function rotateCommand(certificate: Command, cli: Cli): void {
  leaf(certificate, {
    usage: "rotate",
    summary: "have devices renew their certificates now, so many at a time",
    example: "vautn certificate rotate --group berlin --concurrency 100",
    data: true,
    tenant: true,
  })
    .option("--device <device>", "one device (several times)", several)
    .option("--query <query>", "the devices that a fleet query finds")
    .option("--group <name>", "the devices of a group")
    .option("--all", "every device of the tenant")
    .option("--concurrency <n>", "devices at a time", wholeNumber("--concurrency", 1, 1_000), 50)
    .option("--deadline <s>", "for each device", wholeNumber("--deadline", 10, 2_592_000), 3_600)
    .option("--jitter <s>", "scatter the commands", wholeNumber("--jitter", 0, 86_400), 10)
    .option("--watch", "follow it to its end")
    .action(async (options: RotateOptions) => {
      const session = cli.session(options);
      const campaign = await session.call("createRotationCampaign", {
        body: {
          ...(await targetsOf(session, options)),
          concurrency: options.concurrency,
          deadlineSeconds: options.deadline,
          jitterSeconds: options.jitter,
        },
      });
      if (options.watch) {
        await watchCampaign(cli, campaign.id, options, describeCampaign);
        return;
      }
      cli.print(options, campaign, () => describeCampaign(campaign));
      cli.note(`watch it with: vautn certificate rotation ${campaign.id} --watch`);
    });
}

async function targetsOf(
  session: Session,
  { device, query, group, all }: RotateOptions,
): Promise<{ devices: string[] } | { query: string }> {
  const ways = [device, query, group, all].filter((one) => one !== undefined);
  if (ways.length !== 1) {
    throw misuse("say which devices", "give --device ID, --query QUERY, --group NAME or --all");
  }
  if (device) return { devices: device };
  if (query !== undefined) return { query };
  if (all) return { query: "" };
  const { items } = await session.call("listGroups");
  const found = items.find((one) => one.name === group);
  if (!found) throw misuse(`there is no group ${group}`, "see them with: vautn group list");
  return { query: found.query };
}

function campaignCommands(certificate: Command, cli: Cli): void {
  leaf(certificate, {
    usage: "rotation [campaign]",
    summary: "waves of rotations, or one of them with the devices that failed",
    example: "vautn certificate rotation 0199…",
    data: true,
    tenant: true,
  })
    .option("--pause", "tell no more devices")
    .option("--resume", "go on")
    .option("--cancel", "end it, and call back what waits")
    .option("--watch", "follow it to its end")
    .action(async (id: string | undefined, options: SteerOptions) => {
      const session = cli.session(options);
      if (id === undefined) {
        const page = await session.collect("listRotationCampaigns", {}, 50);
        cli.printList(options, page, campaignTable, "No rotations were asked for yet.");
        return;
      }
      const params = { campaign: id };
      const operation = operationOf(options);
      if (options.watch) {
        if (operation !== "getRotationCampaign") await session.call(operation, { params });
        await watchCampaign(cli, id, options, describeCampaign);
        return;
      }
      const campaign = await session.call(operation, { params });
      const { items } = await session.call("listRotationCampaignDevices", {
        ...{ params, query: { state: "failed", limit: 100 } },
      });
      cli.print(options, { ...campaign, failures: items }, () => {
        const rows = items.map(({ deviceId, step, error }) => [deviceId, step, error]);
        const failures = rows.length > 0 ? `\n${table(["FAILED", "STEP", "ERROR"], rows)}` : "";
        return describeCampaign(campaign) + failures;
      });
    });
}

type SteerOptions = CommonOptions & {
  pause?: boolean;
  resume?: boolean;
  cancel?: boolean;
  watch?: boolean;
};

function operationOf({ pause, resume, cancel }: SteerOptions) {
  if ([pause, resume, cancel].filter(Boolean).length > 1) {
    throw misuse("--pause, --resume and --cancel exclude one another");
  }
  if (pause) return "pauseRotationCampaign";
  if (resume) return "resumeRotationCampaign";
  return cancel ? "cancelRotationCampaign" : "getRotationCampaign";
}

function campaignTable(items: RotationCampaign[]): string {
  return table(
    ["ROTATION", "STATUS", "DONE", "FAILED", "DEVICES", "BY", "BEGAN"],
    items.map((one) => [
      ...[one.id, one.status, one.succeeded, one.failed, one.total],
      ...[one.createdBy, ago(one.createdAt)],
    ]),
  );
}

function describeCampaign(campaign: RotationCampaign): string {
  const { waiting, rotating, succeeded, failed, skipped, cancelled } = campaign;
  return facts([
    ["rotation", campaign.id],
    ["status", campaign.status],
    ["devices", `${campaign.total}, ${campaign.concurrency} at a time`],
    ["progress", `${succeeded} done, ${rotating} rotating, ${waiting} waiting`],
    ["not done", `${failed} failed, ${skipped} skipped, ${cancelled} cancelled`],
    ["query", campaign.query || null],
    ["began", `${campaign.createdAt} by ${campaign.createdBy}`],
    ["ended", campaign.finishedAt],
  ]);
}
