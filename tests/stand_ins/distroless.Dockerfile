# What gcr.io/distroless/python3-debian13:nonroot is: these packages unpacked, without their dependencies and scripts.
FROM docker.io/library/debian:trixie-slim AS build
RUN apt-get update -qq && apt-get install -qq --no-install-recommends ca-certificates > /dev/null
WORKDIR /packages
RUN apt-get download -qq \
    base-files netbase tzdata tzdata-legacy media-types libc6 libssl3t64 libzstd1 zlib1g libgomp1 libstdc++6 libgcc-s1 \
    gcc-14-base libbz2-1.0 libdb5.3t64 libexpat1 liblzma5 libsqlite3-0 libuuid1 libncursesw6 libtinfo6 libcom-err2 \
    libcrypt1 libc-bin libgssapi-krb5-2 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libnsl2 libreadline8t64 \
    libtirpc3t64 libffi8 libpython3.13-minimal libpython3.13-stdlib python3.13-minimal python3.13-venv
RUN mkdir /root-fs && for package in *.deb; do dpkg-deb -x "$package" /root-fs; done \
    && ln -s python3.13 /root-fs/usr/bin/python3 && ln -s python3.13 /root-fs/usr/bin/python \
    && printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > /root-fs/etc/passwd \
    && printf 'root:x:0:\nnonroot:x:65532:\n' > /root-fs/etc/group \
    && mkdir -p /root-fs/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
    && mkdir -p /root-fs/home/nonroot && chown 65532:65532 /root-fs/home/nonroot \
    && ldconfig -r /root-fs && rm -r /root-fs/var/cache/ldconfig

FROM scratch
COPY --from=build /root-fs/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt LANG=C.UTF-8
USER 65532
WORKDIR /home/nonroot
ENTRYPOINT ["/usr/bin/python3.13"]
