import { FileInput, Modal, Stack, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { api } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

/** Publishes a release that was built and signed elsewhere: signing keys never come here. */
export function PublishDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm<{ manifest: File | null; image: File | null }>({
    initialValues: { manifest: null, image: null },
    validate: {
      manifest: (file) => (file ? null : "Choose the signed manifest"),
      image: (file) => (file ? null : "Choose the image that it names"),
    },
  });
  const publish = useAction({
    run: async ({ manifest, image }: { manifest: File; image: File }) =>
      api.publishRelease(tenant, base64url(await manifest.text()), image),
    done: (release) => `${release.product} ${release.version} is published`,
    refresh: ["tenant", tenant, "releases"],
    onDone: () => {
      form.reset();
      onClose();
    },
  });
  return (
    <Modal opened={opened} onClose={onClose} title="Publish a release">
      <form
        onSubmit={form.onSubmit(({ manifest, image }) => {
          if (manifest && image) publish.mutate({ manifest, image });
        })}
      >
        <Stack>
          <Text size="sm" c="dimmed">
            Build and sign it with <span className="mono">vautn firmware build</span> and{" "}
            <span className="mono">sign</span>. The platform checks signatures, hash and size.
          </Text>
          <FileInput
            label="Signed manifest"
            placeholder="release.json"
            accept=".json,application/json"
            clearable
            {...form.getInputProps("manifest")}
          />
          <FileInput
            label="Image"
            placeholder="firmware.bin"
            clearable
            {...form.getInputProps("image")}
          />
          <FormButtons label="Publish" busy={publish.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}

function base64url(text: string): string {
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}
