import { Button, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconArrowUpRight, IconBan, IconRocket } from "@tabler/icons-react";
import { Link as RouterLink } from "@tanstack/react-router";
import { useState } from "react";
import { api, CHANNELS, type Channel, type ReleaseView } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";

/** What can be done with a release; a withdrawn one is of no more use. */
export function ReleaseActions({ release }: { release: ReleaseView }) {
  const tenant = useTenantId();
  const may = useMay();
  const [yanking, yank] = useDisclosure(false);
  const [promoting, promote] = useDisclosure(false);
  if (release.status === "yanked" || !may("engineer")) return null;
  const next = CHANNELS[CHANNELS.indexOf(release.channel) + 1];
  return (
    <>
      <Button
        component={RouterLink}
        to={`/t/${tenant}/rollouts?release=${release.id}`}
        leftSection={<IconRocket size={16} aria-hidden />}
      >
        Roll it out
      </Button>
      {next && (
        <Button
          variant="default"
          leftSection={<IconArrowUpRight size={16} aria-hidden />}
          onClick={promote.open}
        >
          Promote to {next}…
        </Button>
      )}
      <Button
        variant="light"
        color="red"
        leftSection={<IconBan size={16} aria-hidden />}
        onClick={yank.open}
      >
        Withdraw…
      </Button>
      {next && (
        <PromoteDialog
          release={release}
          channel={next}
          opened={promoting}
          onClose={promote.close}
        />
      )}
      <YankDialog release={release} opened={yanking} onClose={yank.close} />
    </>
  );
}

interface DialogProps {
  release: ReleaseView;
  opened: boolean;
  onClose: () => void;
}

function PromoteDialog({ release, channel, ...dialog }: DialogProps & { channel: Channel }) {
  const tenant = useTenantId();
  const promote = useAction({
    run: () => api.promoteRelease(tenant, release.id, channel),
    done: () => `${release.product} ${release.version} is in ${channel}`,
    refresh: ["tenant", tenant, "releases"],
    onDone: dialog.onClose,
  });
  return (
    <Confirm
      {...dialog}
      title={`Promote ${release.product} ${release.version} to ${channel}?`}
      confirmLabel={`Promote to ${channel}`}
      busy={promote.isPending}
      onConfirm={() => promote.mutate()}
    >
      <Text size="sm">
        A channel says how far a release has come. No device gets anything by this alone, and there
        is no way back to {release.channel}.
      </Text>
    </Confirm>
  );
}

function YankDialog({ release, opened, onClose }: DialogProps) {
  const tenant = useTenantId();
  const [reason, setReason] = useState("");
  const yank = useAction({
    run: () => api.yankRelease(tenant, release.id, reason.trim()),
    done: () => `${release.product} ${release.version} is withdrawn`,
    refresh: ["tenant", tenant, "releases"],
    onDone: onClose,
  });
  return (
    <Confirm
      opened={opened}
      onClose={onClose}
      title={`Withdraw ${release.product} ${release.version}?`}
      confirmLabel="Withdraw the release"
      destructive
      disabled={!reason.trim()}
      busy={yank.isPending}
      onConfirm={() => yank.mutate()}
    >
      <Text size="sm">
        Its rollouts are cancelled, none can be started with it any more, and no further device
        installs it. Devices that run it keep it until they are updated or rolled back. This cannot
        be undone.
      </Text>
      <TextInput
        label="Reason"
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </Confirm>
  );
}
